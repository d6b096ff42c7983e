"""The jury: checks that every feature faces just by being listed; a check's `applies` says which features it is about.

A check returns its finding and the test asserts it, so that no case can pass without an assertion.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from features.catalogue.aggregate import DAY, HOUR
from features.catalogue.catalogue import CatalogueParameters, Feature, catalogue
from features.domain.payment import Payment
from features.state.memory import State
from features.state.replay import replay
from tests.features.kernel.streams import START_MS, history_of, row_of

CATALOGUE = catalogue(CatalogueParameters(hour_rates=(0.5, 1.5) * 12, busy_days=(("11-11", 2.0),)))


def make(number: int, time_ms: int, **more: object) -> Payment:
    fields: dict[str, object] = {
        "transaction_id": f"t{number}",
        "event_time_ms": time_ms,
        "amount_minor": 1_000 + 37 * (number % 11),
        "currency": "INR",
        "rail": "upi",
        "channel": ("collect", "p2p", "online", "qr_static")[number % 4],
        "payer_id": f"u{number % 3}",
        "instrument_id": f"i{number % 4}",
        "payee_id": f"m{number % 5}",
        "device_id": f"d{number % 3}",
        "ip": f"10.0.0.{number % 4}",
        "mcc": "5411",
        "payer_country": "IN",
        "payee_country": ("IN", "SG")[number % 2],
        "latitude": 1.0,
        "longitude": 2.0,
    }
    return Payment(**{**fields, **more})  # type: ignore[arg-type]


PAST = [make(i, START_MS + i * 7 * HOUR) for i in range(150)]
PROBE = make(151, PAST[-1].event_time_ms + 60_000)
#: Where groups of payments of one millisecond stand: as the first of all, where windows that wait for labels or for a
#: day begin, and as the last before the probe.
TIED_AT_MS = (START_MS - HOUR, *(PROBE.event_time_ms - ms for ms in (9 * DAY, 24 * HOUR + HOUR // 2, 1_000, 0)))
OTHERS = ({}, {"device_id": "d-tied"}, {"payer_id": "u-tied"}, {"ip": "10.9.9.9"}, {"instrument_id": "i-tied"})
IN_ORDER = tuple(range(len(OTHERS)))


def tied_at(time_ms: int) -> list[Payment]:
    """Payments of one moment that share the probe's entities, or most of them, and differ in all else."""
    shared = {name: getattr(PROBE, name) for name in ("payer_id", "instrument_id", "payee_id", "device_id", "ip")}
    return [
        make(600 + i, time_ms, **{**shared, "amount_minor": (2_000_000, 99, 8_500, 777, 120_000)[i], **others})
        for i, others in enumerate(OTHERS)
    ]


@cache
def state_after(order: tuple[int, ...] = IN_ORDER) -> State:
    """The state after PAST, with labels on some of it, and the members of each group of ties in this order."""
    state = State(CATALOGUE)
    tied = [group[i] for group in map(tied_at, TIED_AT_MS) for i in order]
    for payment in sorted([*PAST, *tied], key=lambda one: one.event_time_ms):  # stable: ties keep their order
        state.apply(payment)
    for payment in [*PAST[::9], *tied]:
        for what in ("fraud", "legitimate", "declined", "reversed"):
            state.annotate(payment, what)
    return state


@cache
def vector(name: str) -> np.ndarray:
    """The vectors the checks compare, computed once."""
    if name == "plain":
        return state_after().observe(PROBE)
    if name == "twice":
        return state_after().observe(PROBE)
    if name == "other amount":
        return state_after().observe(make(151, PROBE.event_time_ms, amount_minor=9_999_999))
    if name == "ties reversed":
        return state_after(IN_ORDER[::-1]).observe(PROBE)
    if name == "ties rotated":
        return state_after(IN_ORDER[2:] + IN_ORDER[:2]).observe(PROBE)
    if name == "without ties":
        return state_after(()).observe(PROBE)
    if name == "nothing sent":
        return State(CATALOGUE).observe(
            make(
                1,
                START_MS,
                device_id=None,
                ip=None,
                mcc=None,
                payer_country=None,
                payee_country=None,
                latitude=None,
                longitude=None,
            )
        )
    if name == "no history":
        return State(CATALOGUE).observe(make(1, START_MS))
    if name in ("inside the stream", "stream that ends there"):
        # the labels of the later payments are all known at the end; the reading stands at payment 60
        state = State(CATALOGUE)
        for payment in PAST[:60]:
            state.apply(payment)
        kept = state.observe(PAST[60])
        if name == "stream that ends there":
            return kept
        rows = [row_of(p) | {"label": "fraud", "label_time": PAST[-1].event_time_ms} for p in PAST]
        table = replay(history_of(rows), CATALOGUE).slice(60, 1)
        return np.array([table[n][0].as_py() for n in CATALOGUE.names])
    raise KeyError(name)


def same(a: np.ndarray, b: np.ndarray, feature: Feature) -> bool:
    i = CATALOGUE.index[feature.name]
    return bool(a[i] == b[i] or (np.isnan(a[i]) and np.isnan(b[i])))


def never_sees_the_payment_itself(feature: Feature) -> bool:
    """Its own amount moves only features of the request and ratios to it."""
    return same(vector("plain"), vector("other amount"), feature)


def reading_does_not_write(feature: Feature) -> bool:
    return same(vector("plain"), vector("twice"), feature)


def never_sees_the_future(feature: Feature) -> bool:
    """Read inside a long stream, it is what a stream that ends there would give."""
    return same(vector("inside the stream"), vector("stream that ends there"), feature)


def ties_do_not_matter(feature: Feature) -> bool:
    return all(same(vector("plain"), vector(f"ties {how}"), feature) for how in ("reversed", "rotated"))


def unknown_is_missing_not_zero(feature: Feature) -> bool:
    return bool(np.isnan(vector("nothing sent")[CATALOGUE.index[feature.name]]))


def no_history_is_zero_for_counts_and_missing_for_the_rest(feature: Feature) -> bool:
    value = vector("no history")[CATALOGUE.index[feature.name]]
    if '"how":"is_new"' in feature.declaration:
        return bool(value == 1.0)
    counted = any(f'"how":"{how}"' in feature.declaration for how in ("count", "sum", "distinct"))
    return bool(value == 0.0 if counted else np.isnan(value))


def has_a_sentence_and_a_unit(feature: Feature) -> bool:
    sentence = feature.sentence
    told = sentence.endswith(".") and sentence[0].isupper() and feature.unit and feature.typology
    return bool(told) and feature.reason in CATALOGUE.reasons


def can_take_more_than_one_value(feature: Feature) -> bool:
    """A feature that is always the same tells nothing; profiles are told in their own tests."""
    return len({repr(v[CATALOGUE.index[feature.name]]) for v in _spread()}) > 1


@cache
def _spread() -> tuple[np.ndarray, ...]:
    state = State(CATALOGUE)
    out = []
    for i in range(400):
        moment = START_MS + i * 11 * HOUR // (1 + i % 7) + (i // 50) * DAY
        odd = i % 6 == 0
        payment = make(
            i,
            moment,
            amount_minor=(50, 10_000, 777, 3_000_099)[i % 4],
            currency="USD" if odd else "INR",
            device_id=None if odd else f"d{i % 3}",
            latitude=None if odd else 1.0,
            rail="card" if odd else "upi",
            mcc="5999" if odd else "5411",
        )
        out.append(state.observe_and_apply(payment))
        if i % 5 == 0:
            for what in ("fraud", "legitimate", "declined", "reversed"):
                state.annotate(payment, what)
    for i in range(400, 420):  # a burst
        out.append(
            state.observe_and_apply(
                make(
                    i,
                    moment + 1000 * (i - 399),
                    amount_minor=50,
                    payer_id="u1",
                    instrument_id="i1",
                    payee_id=f"m{i % 2}",
                    device_id="d1",
                    ip="10.0.0.1",
                    channel=("collect", "p2p", "online")[i % 3],
                )
            )
        )
        state.annotate(
            make(i, moment, payer_id="u1", instrument_id="i1", payee_id="m0", device_id="d1", ip="10.0.0.1"), "declined"
        )
    for i in range(420, 423):  # the same hour, a day later
        out.append(state.observe_and_apply(make(i, moment + 25 * HOUR - 60_000 + i)))
    return tuple(out)


class Check(NamedTuple):
    """What is asked, and of which features."""

    holds: Callable[[Feature], bool]
    applies: Callable[[Feature], bool]


def any_feature(feature: Feature) -> bool:
    return True


def depends_on_what_may_be_absent(feature: Feature) -> bool:
    names = ("payer_device_is_new", "payer_ip_is_new", "mcc", "is_cross_border")
    return feature.group == "profile" or feature.entity in ("device", "ip") or feature.name in names


CHECKS = (
    Check(never_sees_the_payment_itself, lambda feature: feature.group == "window"),
    Check(reading_does_not_write, any_feature),
    Check(never_sees_the_future, any_feature),
    Check(ties_do_not_matter, any_feature),
    Check(unknown_is_missing_not_zero, depends_on_what_may_be_absent),
    Check(no_history_is_zero_for_counts_and_missing_for_the_rest, lambda feature: feature.group in ("window", "ratio")),
    Check(has_a_sentence_and_a_unit, any_feature),
    Check(can_take_more_than_one_value, lambda feature: feature.group != "profile"),
)
CASES = [
    pytest.param(feature, check.holds, id=f"{feature.name}-{check.holds.__name__}")
    for feature in CATALOGUE.features
    for check in CHECKS
    if check.applies(feature)
]


@pytest.mark.parametrize(("feature", "holds"), CASES)
def test_every_feature_passes(feature: Feature, holds: Callable[[Feature], bool]) -> None:
    assert holds(feature) is True


def test_no_check_is_about_few_and_no_feature_faces_few() -> None:
    assert all(sum(map(check.applies, CATALOGUE.features)) >= 30 for check in CHECKS)
    assert all(sum(check.applies(feature) for check in CHECKS) >= 5 for feature in CATALOGUE.features)


def test_ties_stand_where_features_see_them() -> None:
    """Leaving them out changes nearly all features that read a past."""
    blind = {f.name for f in CATALOGUE.features if same(vector("plain"), vector("without ties"), f)}
    assert blind & {f.name for f in CATALOGUE.features if f.group in ("window", "ratio")} <= {
        "payer_device_is_new",
        "payer_ip_is_new",
        "payee_static_qr_share_7d",
        "payee_fraud_share_24h_delay_7d",
        "payee_fraud_since_first_30d",
    }


def test_the_catalogue_is_rich_enough_and_covers_every_entity() -> None:
    assert len(CATALOGUE.names) >= 60
    assert {f.entity for f in CATALOGUE.features} == {None, "payer", "instrument", "device", "ip", "payee", "pair"}
    assert len({f.typology for f in CATALOGUE.features}) >= 8
