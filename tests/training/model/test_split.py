from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidHistory
from training.data.frame import Frame
from training.model.split import split_by_time
from training.recipe import SplitPlan

DAY_MS = 86_400_000


def _frame(minutes: list[int], delays_days: list[int], fraud: list[bool]) -> Frame:
    times = np.sort(np.array(minutes, np.int64)) * 60_000
    payments = pd.DataFrame(
        {
            "event_time": pd.to_datetime(times, unit="ms", utc=True),
            "reported_fraud": fraud,
            "is_fraud": fraud,
            "label_ms": times + np.array(delays_days) * DAY_MS,
        }
    )
    return Frame(payments, times.astype(np.float64)[:, None], ("t",))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    days = draw(st.integers(30, 60))
    regular = np.arange(0, days * 1440, 240)  # something every four hours, so that no period is empty
    minutes = np.concatenate([regular, random.integers(0, days * 1440, draw(st.integers(0, 80)))])
    delays = random.integers(0, 21, len(minutes))
    fraud = random.random(len(minutes)) < 0.5
    delays[::5], fraud[::5] = 0, True  # some fraud is known immediately, so that every period can teach
    return _frame(minutes.tolist(), delays.tolist(), fraud.tolist())


PLAN = SplitPlan(test_days=6, decide_days=4, tune_days=3)


@settings(max_examples=40)
@given(frames(), st.integers(1, 9))
def test_no_payment_is_lost_or_used_twice(payments: Frame, gap: int) -> None:
    parts = split_by_time(payments, PLAN, dt.timedelta(days=gap))
    pieces = [parts.learn, parts.tune, parts.decide, parts.gap, parts.test]
    assert np.array_equal(np.concatenate([p.values for p in pieces]), payments.values)


@settings(max_examples=40)
@given(frames(), st.integers(1, 9))
def test_every_payment_learned_from_is_a_whole_delay_older_than_the_test(payments: Frame, gap: int) -> None:
    parts = split_by_time(payments, PLAN, dt.timedelta(days=gap))
    for part in (parts.learn, parts.tune, parts.decide):
        assert (part.payments["event_time"] + pd.Timedelta(days=gap) < parts.test_from).all()
    assert (parts.test.payments["event_time"] >= parts.test_from).all()


@settings(max_examples=40)
@given(frames(), st.integers(1, 9))
def test_no_fraud_is_learned_whose_label_was_not_known_when_the_test_began(payments: Frame, gap: int) -> None:
    parts = split_by_time(payments, PLAN, dt.timedelta(days=gap))
    for part in (parts.learn, parts.tune, parts.decide):
        known = part.payments["label_ms"] <= parts.test_from.value // 1_000_000
        assert not (part.fraud & ~known.to_numpy()).any()


@settings(max_examples=40)
@given(frames())
def test_what_became_known_after_the_test_began_changes_nothing_before_it(payments: Frame) -> None:
    gap = dt.timedelta(days=7)
    before = split_by_time(payments, PLAN, gap)
    late = payments.payments["label_ms"] > before.test_from.value // 1_000_000
    labels = payments.payments["reported_fraud"] ^ late
    flipped = Frame(
        payments.payments.assign(reported_fraud=labels, is_fraud=labels),
        payments.values,
        payments.names,
    )
    after = split_by_time(flipped, PLAN, gap)
    for name in ("learn", "tune", "decide"):
        assert np.array_equal(getattr(before, name).fraud, getattr(after, name).fraud)


def test_a_fixed_test_begins_on_its_day() -> None:
    payments = _frame(list(range(0, 60 * 1440, 60)), [0] * 1440, [i % 2 == 0 for i in range(1440)])
    plan = SplitPlan(test_from=dt.date(1970, 2, 1), test_days=2, decide_days=1, tune_days=0, learn_days=5)
    parts = split_by_time(payments, plan, dt.timedelta(days=7))
    assert len(parts.test) == 48 and len(parts.learn) == 120 and len(parts.tune) == 0
    assert f"{parts.learn.payments['event_time'].iloc[0]:%m-%d}" == "01-19"


def test_a_history_too_short_for_the_plan_is_refused_with_the_repair() -> None:
    payments = _frame(list(range(0, 10 * 1440, 60)), [0] * 240, [i % 2 == 0 for i in range(240)])
    with pytest.raises(InvalidHistory, match=r"the period learn holds no payment.*Shorten test_days"):
        split_by_time(payments, PLAN, dt.timedelta(days=7))


def test_a_period_without_a_known_fraud_is_refused() -> None:
    payments = _frame(list(range(0, 40 * 1440, 60)), [0] * 960, [False] * 960)
    with pytest.raises(InvalidHistory, match="holds no fraud that was known"):
        split_by_time(payments, PLAN, dt.timedelta(days=7))
