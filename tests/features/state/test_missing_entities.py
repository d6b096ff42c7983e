"""An id that says nothing has no windows, an IPv6 address counts as its /64; online and in replay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.catalogue.catalogue import Catalogue, CatalogueParameters, catalogue, catalogue_of
from features.domain.payment import Payment
from features.history.schema import HISTORY_SCHEMA
from features.state.memory import State
from features.state.replay import replay

START_MS = 1_794_355_200_000
PARTIES = ("payer_id", "instrument_id", "payee_id")


def payment(number: int, **changes: Any) -> Payment:
    fields: dict[str, Any] = {
        "transaction_id": f"t-{number}", "event_time_ms": START_MS + number * 1_000, "amount_minor": 1_000 + number,
        "currency": "INR", "rail": "upi", "channel": "online", "payer_id": f"u-{number % 2}", "instrument_id": "i-1",
        "payee_id": "m-1", "ip": "2001:db8::1",
    }  # fmt: skip
    return Payment(**fields | changes)


def table(payments: list[Payment]) -> pa.Table:
    rows = []
    for one in payments:
        row = {name: getattr(one, name, None) for name in HISTORY_SCHEMA.names}
        rows.append(row | {"event_time": one.event_time_ms})
    return pa.Table.from_pylist(
        [{**row, "event_time": np.datetime64(row["event_time"], "ms").astype(object)} for row in rows],
        schema=HISTORY_SCHEMA,
    )


def served(payments: list[Payment], known: Catalogue) -> np.ndarray[Any, Any]:
    state = State(known)
    return np.array([state.observe_and_apply(one) for one in payments])


@pytest.mark.parametrize("party", PARTIES)
def test_a_party_that_was_not_named_has_no_windows_and_replay_says_the_same(party: str) -> None:
    known = catalogue()
    payments = [payment(n, **({party: ""} if n % 3 else {})) for n in range(12)]
    online = served(payments, known)
    offline = replay(table(payments), known)
    for place, name in enumerate(known.names):
        np.testing.assert_array_equal(online[:, place], offline[name].to_numpy(), err_msg=name)
    entity = party.removesuffix("_id")
    counted = online[:, known.index[f"{entity}_count_24h"]]
    assert np.isnan(counted[1])
    assert [value for value in counted if not np.isnan(value)] == [0, 1, 2, 3] if entity != "payer" else True


def test_addresses_of_one_ipv6_network_are_one_entity_and_an_older_contract_counts_each() -> None:
    payments = [payment(n, ip=f"2001:db8::{n + 1:x}") for n in range(4)] + [payment(4, ip="2001:db8:0:1::1")]
    known = catalogue()
    column = known.index["ip_count_1h"]
    assert served(payments, known)[:, column].tolist() == [0, 1, 2, 3, 0]
    assert replay(table(payments), known)["ip_count_1h"].to_pylist() == [0, 1, 2, 3, 0]

    before = catalogue(CatalogueParameters(ipv6_windows=128))
    assert served(payments, before)[:, column].tolist() == [0, 0, 0, 0, 0]
    assert "ipv6_windows" not in before.contract().parameters, "a contract of before has the same hash"
    assert catalogue_of(before.contract()).contract().hash == before.contract().hash
    assert catalogue_of(known.contract()).parameters.ipv6_windows == 64
