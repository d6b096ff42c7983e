"""The kernel against the oracle: every window feature, on random streams, to the bit."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue.aggregate import DAY, MINUTE
from features.catalogue.catalogue import Catalogue, CatalogueParameters, catalogue
from features.domain.payment import Payment
from features.state.memory import State
from tests.features.kernel.oracle import Oracle
from tests.features.kernel.streams import START_MS, Event, Later, streams

CATALOGUE = catalogue()
SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def run(events: list[Event], state: State) -> list[np.ndarray]:
    """Fold a stream into a state; the vectors of its payments."""
    vectors, seen = [], []
    for event in events:
        if isinstance(event, Later):
            state.annotate(seen[event.about], event.what)
        else:
            seen.append(event)
            vectors.append(state.observe_and_apply(event))
    return vectors


@given(streams(), st.sampled_from([CATALOGUE, catalogue(CatalogueParameters(label_delay_days=3))]))
@SLOW
def test_every_window_feature_equals_the_plain_definition(events: list[Event], chosen: Catalogue) -> None:
    state, oracle, seen = State(chosen), Oracle(), []
    horizon = 37 * DAY  # what is later than every window is dropped by design and compared elsewhere
    newest = 0
    for event in events:
        if isinstance(event, Later):
            state.annotate(seen[event.about], event.what)
            oracle.annotate(f"t{event.about}", event.what)
            continue
        if event.event_time_ms < newest - horizon + 31 * DAY:
            event = Payment(**{**{n: getattr(event, n) for n in event.__struct_fields__}, "event_time_ms": newest})
        newest = max(newest, event.event_time_ms)
        vector = state.observe(event)
        for a in chosen.aggregates:
            expected, got = oracle.value(a, event), vector[chosen.index[a.name]]
            assert got == expected or (math.isnan(got) and math.isnan(expected)), (a.name, got, expected)
        state.apply(event)
        oracle.apply(event)
        seen.append(event)


@given(streams(most=30))
@SLOW
def test_observing_changes_nothing(events: list[Event]) -> None:
    state, twin = State(CATALOGUE), State(CATALOGUE)
    seen = []
    for event in events:
        if isinstance(event, Later):
            state.annotate(seen[event.about], event.what)
            twin.annotate(seen[event.about], event.what)
            continue
        for _ in range(3):
            twin.observe(event)
        np.testing.assert_array_equal(state.observe_and_apply(event), twin.observe_and_apply(event))
        seen.append(event)


@given(streams(most=40, late=False), st.randoms(use_true_random=False))
@SLOW
def test_the_order_inside_a_tile_does_not_matter(events: list[Event], random: object) -> None:
    payments = [e for e in events if not isinstance(e, Later)]
    probe = payments[-1]
    before, same = State(CATALOGUE), State(CATALOGUE)
    run(list(payments), before)
    shuffled = list(payments)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    # bring the newest first: everything else is then late, and must land in the same tiles
    horizon = max(p.event_time_ms for p in payments) - 29 * DAY
    if min(p.event_time_ms for p in payments) < horizon:
        return
    run(list(shuffled), same)
    a, b = before.observe(probe), same.observe(probe)
    np.testing.assert_array_equal(a, b)


def payment(number: int, time_ms: int, **more: object) -> Payment:
    fields: dict[str, object] = {
        "transaction_id": f"t{number}", "event_time_ms": time_ms, "amount_minor": 100, "currency": "INR",
        "rail": "upi", "channel": "online", "payer_id": "u1", "instrument_id": "i1", "payee_id": f"m{number % 400}",
    }  # fmt: skip
    return Payment(**{**fields, **more})  # type: ignore[arg-type]


def test_memory_is_bounded_however_long_an_entity_lives() -> None:
    state = State(CATALOGUE)
    for i in range(40_000):
        state.apply(payment(i, START_MS + i * 3 * MINUTE, payee_id="m1"))
    after_a_season = state.bytes_used()
    for i in range(40_000, 80_000):
        state.apply(payment(i, START_MS + i * 3 * MINUTE, payee_id="m1"))
    assert state.bytes_used() == after_a_season


def test_a_payment_later_than_every_window_is_counted_as_too_late_and_changes_no_window() -> None:
    state = State(CATALOGUE)
    state.apply(payment(0, START_MS))
    probe = payment(2, START_MS + MINUTE)
    before = state.observe(probe)
    state.apply(payment(1, START_MS - 60 * DAY))
    after = state.observe(probe)
    assert state.too_late > 0
    for a in CATALOGUE.aggregates:
        # of the payer-only entities, all but the ones that look at all of the past
        if a.by == "payer" and a.over_ms is not None and a.of is None:
            i = CATALOGUE.index[a.name]
            np.testing.assert_array_equal(before[i], after[i])


def test_distinct_is_exact_up_to_the_cap_and_saturates_there() -> None:
    state = State(CATALOGUE)
    column = CATALOGUE.index["payer_payee_distinct_1h"]
    for i in range(40):
        got = state.observe_and_apply(payment(i, START_MS + i))[column]
        assert got == min(i, 16)


def test_a_correction_takes_a_label_back() -> None:
    state = State(CATALOGUE)
    first = payment(0, START_MS)
    state.apply(first)
    probe = payment(400, START_MS + 10 * DAY)
    clean = state.observe(probe)
    state.annotate(first, "fraud")
    assert not np.array_equal(clean, state.observe(probe), equal_nan=True)
    state.annotate(first, "fraud", weight=-1)
    changed = [
        n
        for n, a, b in zip(CATALOGUE.names, clean, state.observe(probe), strict=True)
        if not (a == b or (a != a and b != b))
    ]
    assert all("since_last" in name for name in changed)
