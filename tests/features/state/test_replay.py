"""Two speeds, one truth: a replayed history gives the bits that the live state gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from features.catalogue.catalogue import Attribute, CatalogueParameters, catalogue
from features.domain.payment import Payment
from features.errors import InvalidHistory
from features.state.memory import State
from features.state.profiles import PayeeProfile, PayerProfile, Profiles
from features.state.replay import fold, replay, replay_to_parquet
from tests.features.kernel.streams import START_MS, Event, Later, history_of, row_of, streams

CATALOGUE = catalogue()


def live_and_rows(events: list[Event], state: State, profiles: Profiles | None = None) -> tuple[np.ndarray, pa.Table]:
    """Run a stream live; its vectors, and the history that tells the same in rows."""
    vectors, rows, seen, known, clock = [], [], [], set(), START_MS
    for event in events:
        if isinstance(event, Later):
            kind = "label" if event.what in ("fraud", "legitimate") else "outcome"
            if (event.about, kind) in known:
                continue
            known.add((event.about, kind))
            clock += 1
            rows[event.about] |= {kind: event.what, f"{kind}_time": clock}
            state.annotate(seen[event.about], event.what)
        else:
            clock = max(clock + 1, event.event_time_ms)
            moved = Payment(**{**{n: getattr(event, n) for n in event.__struct_fields__}, "event_time_ms": clock})
            seen.append(moved)
            rows.append(row_of(moved))
            vectors.append(state.observe_and_apply(moved, profiles))
    return np.array(vectors), history_of(rows)


def matrix(table: pa.Table) -> np.ndarray:
    return np.column_stack([table[name].to_numpy() for name in CATALOGUE.names])


@given(streams(late=False))
@settings(max_examples=30)
def test_replay_equals_the_live_path_bit_for_bit(events: list[Event]) -> None:
    profiles = Profiles()
    profiles.put(
        "payer",
        "u1",
        PayerProfile(
            event_time_ms=START_MS + 5000,
            created_time_ms=START_MS + 9000,
            known_since_ms=START_MS - 10**9,
            home_country="IN",
            verification_level=2,
        ),
    )
    profiles.put(
        "payee",
        "m1",
        PayeeProfile(
            event_time_ms=START_MS, created_time_ms=START_MS, known_since_ms=START_MS, mcc="5411", country="SG", size=3
        ),
    )
    live = State(CATALOGUE)
    if isinstance(events[0], Later):
        return
    vectors, history = live_and_rows(events, live, profiles)
    np.testing.assert_array_equal(matrix(replay(history, CATALOGUE, profiles)).view(np.int64), vectors.view(np.int64))
    probe = Payment(
        transaction_id="probe",
        event_time_ms=START_MS + 400 * 86_400_000,
        amount_minor=5,
        currency="INR",
        rail="upi",
        channel="pos",
        payer_id="u1",
        instrument_id="i1",
        payee_id="m1",
        device_id="d1",
        ip="10.0.0.1",
    )
    folded = fold(history, CATALOGUE)
    np.testing.assert_array_equal(folded.observe(probe), live.observe(probe))
    assert folded.events_seen(probe) == live.events_seen(probe)


def rows(n: int = 50) -> list[dict[str, object]]:
    return [
        {
            "transaction_id": f"t{i}",
            "event_time": START_MS + i * 60_000,
            "amount_minor": 100 + i,
            "currency": "INR",
            "rail": "upi",
            "channel": "pos",
            "payer_id": f"u{i % 3}",
            "instrument_id": f"i{i % 4}",
            "payee_id": f"m{i % 5}",
        }
        for i in range(n)
    ]


def test_a_snapshot_brings_back_the_same_state(tmp_path: Path) -> None:
    state = fold(history_of(rows()), CATALOGUE)
    state.save(tmp_path / "state")
    again = State.load(tmp_path / "state", CATALOGUE)
    probe = Payment(
        transaction_id="p",
        event_time_ms=START_MS + 10**7,
        amount_minor=5,
        currency="INR",
        rail="upi",
        channel="pos",
        payer_id="u1",
        instrument_id="i1",
        payee_id="m1",
    )
    for _ in range(300):
        np.testing.assert_array_equal(state.observe_and_apply(probe), again.observe_and_apply(probe))


def test_a_label_does_not_count_before_it_became_known() -> None:
    history = rows()
    history[0] |= {"label": "fraud", "label_time": START_MS + 30 * 60_000}
    counts = replay(history_of(history), CATALOGUE)["payee_fraud_count_7d"].to_pylist()
    assert [counts[i] for i in range(0, 50, 5)] == [0.0] * 6 + [1.0] * 4  # payee m0 is in rows 0, 5, 10, ...


def test_progress_counts_payments_and_not_what_was_reported_about_them() -> None:
    history = rows()
    history[0] |= {"label": "fraud", "label_time": START_MS + 30 * 60_000}
    counted: list[int] = []
    replay(history_of(history), CATALOGUE, progress=counted.append)
    fold(history_of(history), CATALOGUE, progress=counted.append)
    assert sum(counted) == 2 * len(history)


def test_a_file_of_features_appears_whole_and_equals_the_table(tmp_path: Path) -> None:
    pq.write_table(history_of(rows()), tmp_path / "history.parquet")
    done = replay_to_parquet(tmp_path / "history.parquet", tmp_path / "features.history.parquet", CATALOGUE)
    assert done == 50
    written = pq.read_table(tmp_path / "features.history.parquet")
    np.testing.assert_array_equal(matrix(written), matrix(replay(history_of(rows()), CATALOGUE)))
    assert [p.name for p in tmp_path.glob("*.partial")] == []


def test_what_happens_at_or_after_the_end_is_left_out() -> None:
    assert replay(history_of(rows()), CATALOGUE, until_ms=START_MS + 10 * 60_000).num_rows == 10


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda r: r.__setitem__(slice(3, 5), [r[4], r[3]]), "row 4 is earlier than the row before it"),
        (lambda r: r[7].__setitem__("transaction_id", "t3"), "transaction_id 't3' occurs more than once"),
        (lambda r: r[7].__setitem__("label", "maybe"), "label 'maybe' is none of fraud, legitimate"),
        (lambda r: r[7].update(label="fraud", label_time=START_MS), "row 7: label_time is missing or before"),
        (lambda r: r[7].update(currency=None), "column currency has empty values"),
    ],
)
def test_a_history_that_cannot_be_replayed_is_refused_with_the_place_and_the_repair(
    spoil: object, sentence: str
) -> None:
    history = rows()
    spoil(history)  # type: ignore[operator]
    table = pa.Table.from_pylist(history, schema=pa.schema([pa.field(f.name, f.type) for f in history_of([]).schema]))
    with pytest.raises(InvalidHistory, match=sentence):
        replay(table, CATALOGUE)


def test_a_history_without_a_required_column_names_it() -> None:
    with pytest.raises(InvalidHistory, match="lacks the column\\(s\\) payee_id"):
        replay(history_of(rows()).drop_columns(["payee_id"]), CATALOGUE)


def test_amounts_attributes_and_countries_are_read_alike_at_both_speeds() -> None:
    chosen = catalogue(
        CatalogueParameters(
            reference_currency="INR",
            label_delay_days=3,
            attributes=(Attribute("basket_items"), Attribute("sign_in", "categorical", ("otp", "pin"))),
            rails=("ussd",),
            channels=("kiosk",),
        )
    )
    payments = [
        Payment(
            transaction_id=f"t{i}",
            event_time_ms=START_MS + i,
            amount_minor=1000 * i + 7,
            currency=currency,
            rail=["card", "fednow", "ussd", "carrier pigeon"][i % 4],
            channel=["online", "ivr", "kiosk", ""][i % 4],
            payer_id="u",
            instrument_id="i",
            payee_id="m",
            mcc="5999" if i % 2 else None,
            payer_country=["US", None, "IN", "ZZ"][i % 4],
            payee_country="JP" if i % 3 else None,
            latitude=1.5 if i % 2 else None,
            longitude=2.5,
            ip="10.0.0.1" if i % 5 else None,
            attributes=[{}, {"basket_items": 3.0}, {"sign_in": "pin"}, {"sign_in": "face"}][i % 4],
        )
        for i, currency in enumerate(["INR", "USD", "JPY", "KWD", "EUR", "VND", "USDT", "CLF"] * 4)
    ]
    from features.history.schema import history_schema

    schema = history_schema(chosen.parameters)
    table = pa.Table.from_pylist(
        [row_of(p) | {f"attr_{k}": v for k, v in p.attributes.items()} for p in payments],
        schema=pa.schema([pa.field(f.name, f.type) for f in schema]),
    )
    state = State(chosen)
    live = np.array([state.observe_and_apply(p) for p in payments])
    replayed = replay(table, chosen)
    offline = np.column_stack([replayed[name].to_numpy() for name in chosen.names])
    np.testing.assert_array_equal(offline, live)
