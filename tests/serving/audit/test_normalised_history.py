"""A history with ordinary spellings is normalised at import, one that cannot be folded is refused with its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalogue.catalogue import CatalogueParameters, catalogue
from features.errors import InvalidHistory
from features.history.schema import own_schema
from features.state.replay import fold, replay
from serving.audit.import_history import append_history, store_history
from serving.ledger import history_segment
from serving.ledger.event_bodies import HistoryEvent, encode
from serving.ledger.sqlite.ledger import Ledger
from serving.state.foldable import CannotFold
from serving.store_config import LedgerConfig
from tests.serving.scoring_world import DAY_MS, START_MS, Service, command, payment, rfc3339, running

KNOWN = catalogue(CatalogueParameters())


def row(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": name, "event_time": START_MS - DAY_MS, "amount_minor": 500, "currency": "USD",
        "rail": "card", "channel": "online", "payer_id": "u-1", "instrument_id": "c-1", "payee_id": "m-1",
        "device_id": None, "ip": "203.0.113.9", "mcc": "5411", "payer_country": "IN", "payee_country": "GB",
    } | changes  # fmt: skip


def table(*rows: dict[str, Any]) -> pa.Table:
    given = pa.Table.from_pylist(list(rows))
    names = set(given.schema.names)
    schema = pa.schema([field for field in own_schema(given) if field.name in names])
    return pa.Table.from_pylist(list(rows), schema=schema)


def kept(folder: Path, history: pa.Table) -> pa.Table:
    source = folder / "history.parquet"
    pq.write_table(history, source)
    event = store_history(folder / "segments", source, None, None)
    return pq.read_table(folder / "segments" / f"{event.sha256}.parquet")


def test_letter_case_and_blanks_are_normalised(tmp_path: Path) -> None:
    found = kept(
        tmp_path, table(row("a", currency=" usd", payer_country="in", payee_country="uk", mcc=""), row("b"))
    ).to_pylist()
    assert [one["currency"] for one in found] == ["USD", "USD"]
    assert [(one["payer_country"], one["payee_country"], one["mcc"]) for one in found] == [
        ("IN", "GB", None), ("IN", "GB", "5411"),
    ]  # fmt: skip


def test_training_replays_the_words_as_the_service_folds_them(tmp_path: Path) -> None:
    odd = table(*(row(f"t-{n}", currency="usd", payer_country="in") for n in range(4)))
    plain = table(*(row(f"t-{n}") for n in range(4)))
    served, trained = replay(plain, KNOWN), replay(odd, KNOWN)
    for name in KNOWN.names:
        assert np.array_equal(served[name].to_numpy(), trained[name].to_numpy(), equal_nan=True), name
    one, other = fold(kept(tmp_path, odd), KNOWN), fold(plain, KNOWN)
    assert np.array_equal(one.heap[: one.heap[0]], other.heap[: other.heap[0]])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"currency": " "}, "row 1, 2: currency"),
        ({"amount_minor": -5}, "row 1, 2: amount_minor"),
        ({"amount_minor": 2**62}, "row 1, 2: amount_minor"),
        ({"payer_country": "I"}, "row 1, 2: payer_country"),
        ({"mcc": "food"}, "row 1, 2: mcc"),
        ({"event_time": 300_000_000_000_000}, "row 1, 2: event_time"),
    ],
)
def test_a_row_that_cannot_become_a_payment_is_refused_with_its_number(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidHistory, match=sentence):
        kept(tmp_path, table(row("a"), row("b", **changes), row("c", **changes)))
    assert not (tmp_path / "segments").exists()


def test_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    history = table(row("a"))
    broken = pa.array([b"u-\xff"]).cast(pa.binary()).view(pa.string())
    at = history.schema.get_field_index("payer_id")
    with pytest.raises(InvalidHistory, match="UTF-8"):
        kept(tmp_path, history.set_column(at, "payer_id", broken))


def test_columns_of_other_types_are_kept_as_they_are_read(tmp_path: Path) -> None:
    history = table(row("1"), row("2"))
    at = history.schema.get_field_index("transaction_id")
    found = kept(tmp_path, history.set_column(at, "transaction_id", pa.array([1, 2])))
    assert found["transaction_id"].to_pylist() == ["1", "2"]


def test_a_cut_out_of_range_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "history.parquet"
    pq.write_table(table(row("a")), source)
    with pytest.raises(CannotFold, match="too large"):
        store_history(tmp_path / "segments", source, 10**30, None)


def label(service: Service, name: str, at_ms: int = START_MS) -> Any:
    fields = {"transaction_id": name, "label": "fraud", "source": "chargeback", "reported_at": rfc3339(at_ms)}
    return service.post("/v1/labels", fields)


def verified(service: Service) -> None:
    done = service.command("verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_label_on_an_imported_payment_in_usd_is_taken_and_survives_kill_9(tmp_path: Path, bundle: Path) -> None:
    source = tmp_path / "history.parquet"
    pq.write_table(table(row("a", currency="usd"), row("b")), source)
    append_history(LedgerConfig(tmp_path / "var"), source)
    with running(tmp_path, bundle) as service:
        assert label(service, "a").status_code == 200
        assert service.score(payment("t-1", payer_id="u-1", payee_id="m-1")).status_code == 200
        service.kill()
    with running(tmp_path, bundle) as service:
        assert label(service, "a").headers["idempotent-replay"] == "true"
        assert service.client.get("/readyz").json().get("notes", {}) == {}
        assert service.stop() == 0
        verified(service)


def test_a_history_that_an_older_release_stored_unnormalised_accepts_labels(tmp_path: Path, bundle: Path) -> None:
    source = tmp_path / "history.parquet"
    pq.write_table(table(row("a", currency="usd"), row("b", currency="XTS"), row("c", attr_x=float("nan"))), source)
    var = tmp_path / "var"
    sha256 = history_segment.keep(source, var / "segments")
    ledger = Ledger(var / "ledger.sqlite")
    body = HistoryEvent(sha256, 3, START_MS - DAY_MS, START_MS - DAY_MS, START_MS, source.name)
    ledger.append_now("history", "", START_MS, START_MS, encode(body))
    ledger.close()
    with running(tmp_path, bundle) as service:
        assert [label(service, name).status_code for name in "abc"] == [200, 200, 200]
        service.kill()
    with running(tmp_path, bundle) as service:
        assert service.score(payment("t-1")).status_code == 200
        assert service.stop() == 0
        verified(service)
    done = command({"RISKGATE_VAR": str(var)}, "export-history", str(tmp_path / "out.parquet"))
    assert done.returncode == 0, done.stderr
    found = {one["transaction_id"]: one for one in pq.read_table(tmp_path / "out.parquet").to_pylist()}
    assert (found["a"]["currency"], found["b"]["currency"], found["b"]["label"]) == ("USD", "XTS", "fraud")
