"""One value, three ways: the hot path, Feast online and Feast offline, bit for bit and for every feature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue.aggregate import FILTERS
from features.catalogue.catalogue import Attribute, Catalogue, CatalogueParameters, catalogue
from features.domain.payment import CHANNELS, RAILS, Payment
from features.history.schema import complete, history_schema
from features.state.memory import State
from features.state.profiles import InstrumentProfile, PayeeProfile, PayerProfile, Profiles
from features.state.replay import Events, replay

# Feast and its dependencies warn on import and on use; none of it is about our code.
pytestmark = pytest.mark.filterwarnings("ignore")

START_MS = 1_700_000_000_000
KNOWN = catalogue(
    CatalogueParameters(
        attributes=(
            Attribute("basket_items"),
            Attribute("sign_in", kind="categorical", categories=("otp", "password")),
        )
    )
)
WHATS = {known.bit: what for what, known in FILTERS.items() if known.known_later}
Vectors = npt.NDArray[np.float64]


def _maybe(rng: np.random.Generator, *values: object) -> object:
    """One of the values, or None."""
    return [*values, None][rng.integers(len(values) + 1)]


def a_world(seed: int, payments: int) -> tuple[pa.Table, Profiles]:
    """Payments of few parties with ties in time, absent fields, late labels and profiles that change."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 0, 1, 999, 60_000, 3_600_000, 86_400_000], payments)
    times = START_MS + np.cumsum(steps)
    rows = []
    for i, at in enumerate(times.tolist()):
        label, outcome = _maybe(rng, "fraud", "legitimate"), _maybe(rng, "authorised", "declined", "reversed")
        rows.append(
            {
                "transaction_id": f"t-{i}",
                "event_time": at,
                "amount_minor": int(rng.choice([0, 1, 99, 10_000, 123_456, 5_000_000])),
                "currency": str(rng.choice(["INR", "USD", "JPY", "KWD", "PEN", "XOF", "USDT"])),
                "rail": str(rng.choice([*RAILS, "carrier pigeon"])),
                "channel": str(rng.choice([*CHANNELS, "carrier pigeon"])),
                "payer_id": f"u-{rng.integers(3)}",
                "instrument_id": f"c-{rng.integers(4)}",
                "payee_id": f"m-{rng.integers(3)}",
                "device_id": _maybe(rng, "d-0", "d-1"),
                "ip": _maybe(rng, "203.0.113.9", "2001:db8::1"),
                "mcc": _maybe(rng, "5411", "0742"),
                "payer_country": _maybe(rng, "IN", "US"),
                "payee_country": _maybe(rng, "IN", "CN"),
                "latitude": _maybe(rng, 12.97),
                "longitude": _maybe(rng, 77.59),
                "attr_basket_items": _maybe(rng, 0.0, 3.0),
                "attr_sign_in": _maybe(rng, "otp", "carrier pigeon"),
                "label": label,
                "label_time": at + int(rng.integers(10 * 86_400_000)) if label else None,
                "outcome": outcome,
                "outcome_time": at + int(rng.integers(3_600_000)) if outcome else None,
            }
        )
    history = complete(pa.Table.from_pylist(rows), history_schema(KNOWN.parameters))
    profiles = Profiles()
    for _ in range(20):
        event, created = (int(START_MS + rng.integers(-(10**7), 10 * 86_400_000)) for _ in range(2))
        at = {"event_time_ms": event, "created_time_ms": max(created, event)}
        since = _maybe(rng, event - 86_400_000, event + 5)
        profiles.put(
            "payer",
            f"u-{rng.integers(3)}",
            PayerProfile(**at, known_since_ms=since, home_country=_maybe(rng, "IN"), verification_level=2),
        )
        profiles.put(
            "instrument",
            f"c-{rng.integers(4)}",
            InstrumentProfile(**at, known_since_ms=since, kind="card", issuer_country=_maybe(rng, "US")),
        )
        profiles.put(
            "payee",
            f"m-{rng.integers(3)}",
            PayeeProfile(**at, known_since_ms=since, mcc=_maybe(rng, "5411"), size=_maybe(rng, 0, 4), country="IN"),
        )
    return history, profiles


def payment_of(row: dict[str, object], at_ms: int) -> Payment:
    names = set(Payment.__struct_fields__) & set(row)
    attributes = {n.removeprefix("attr_"): v for n, v in row.items() if n.startswith("attr_") and v is not None}
    return Payment(event_time_ms=at_ms, attributes=attributes, **{n: row[n] for n in names})  # type: ignore[arg-type]


def differences(left: Vectors, right: Vectors, known: Catalogue) -> list[str]:
    """Names of the features that differ in any bit, NaN standing for missing on both sides."""
    assert left.shape == right.shape
    same = (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))
    return [known.names[i] for i in np.flatnonzero(~same.all(axis=0))]


class Shop:
    """A Feast store over worlds: one registry, new files for each world."""

    def __init__(self, folder: Path) -> None:
        from features.feast_store import client

        self.folder, self.feast = folder, client
        self.store = client.open_store(folder, KNOWN)
        self.service = client.apply(self.store, KNOWN)

    def load(self, history: pa.Table, profiles: Profiles) -> None:
        self.feast.close(self.store)
        (self.folder / "profiles.sqlite").unlink(missing_ok=True)
        pq.write_table(replay(history, KNOWN, profiles), self.folder / "velocity.parquet")
        self.feast.write_profiles(self.store, profiles)
        self.feast.materialize_profiles(self.store)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("feast"))
    yield made
    made.feast.close(made.store)


def three_ways(shop: Shop, history: pa.Table, profiles: Profiles) -> tuple[Vectors, Vectors, Vectors]:
    """(hot path, Feast online, Feast offline), each float64[payments, columns], in time order."""
    shop.load(history, profiles)
    state, now = State(KNOWN), [0]
    shop.feast.attach(shop.store, state, lambda: now[0])
    events = Events(history)
    payments = [payment_of(row, at) for row, at in zip(history.to_pylist(), events.times.tolist(), strict=True)]
    hot, online = [], []
    for row, what in zip(events.rows.tolist(), events.whats.tolist(), strict=True):
        if what:
            state.annotate(payments[row], WHATS[what])
            continue
        now[0] = payments[row].event_time_ms
        online.append(shop.feast.online_vectors(shop.store, KNOWN, [payments[row]])[0])
        hot.append(state.observe_and_apply(payments[row], profiles))
    offline = shop.feast.historical_frame(shop.store, KNOWN, history)
    assert offline["transaction_id"].tolist() == [payment.transaction_id for payment in payments]
    return np.array(hot), np.array(online), np.ascontiguousarray(offline[list(KNOWN.names)].to_numpy())


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), payments=st.integers(1, 40))
def test_hot_path_online_and_offline_agree_bit_for_bit_on_every_feature(shop: Shop, seed: int, payments: int) -> None:
    hot, online, offline = three_ways(shop, *a_world(seed, payments))
    assert differences(hot, online, KNOWN) == []
    assert differences(hot, offline, KNOWN) == []


def test_every_feature_is_told_apart_from_missing_somewhere(shop: Shop) -> None:
    """The property above would hold of nothing but NaN; this world has a value for every feature."""
    hot, _, _ = three_ways(shop, *a_world(seed=7, payments=150))
    assert [name for name, seen in zip(KNOWN.names, ~np.isnan(hot).all(axis=0), strict=True) if not seen] == []
