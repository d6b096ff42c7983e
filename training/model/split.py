"""Out-of-time splits with a gap of the label delay; nothing is sampled at random."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pandas as pd

from features.errors import InvalidHistory
from training.data.frame import Frame
from training.recipe import SplitPlan


@dataclass(frozen=True)
class Split:
    """Four periods in order of time, and the gap whose labels were unknown when the test began."""

    learn: Frame
    tune: Frame
    decide: Frame
    gap: Frame
    test: Frame
    test_from: pd.Timestamp

    def all_known(self) -> Frame:
        """All labelled payments as of the start of the test."""
        return self.learn.joined_with(self.tune, self.decide)


def split_by_time(payments: Frame, plan: SplitPlan, gap: dt.timedelta) -> Split:
    """Cut a frame into learn, tune, decide, gap and test.

    The first three carry the labels known when the test began, the test carries labels in hindsight. Their payments
    are at least `gap` older than the test, so that a missing label means a legitimate payment.

    Args:
        payments: in order of time.
        plan: lengths in days.
        gap: the label delay.

    Raises:
        InvalidHistory: the history is too short for the plan, or a period has no payment or only one class.
    """
    times = payments.payments["event_time"]
    test_from, test_until = _test_period(plan, times.iloc[-1])
    known_until = test_from - gap
    decide_from = known_until - pd.Timedelta(days=plan.decide_days)
    tune_from = decide_from - pd.Timedelta(days=plan.tune_days)
    learn_from = first_moment(plan, gap, times.iloc[-1])

    past = payments.between(learn_from, test_from).known_by(test_from)
    parts = Split(
        learn=past.between(None, tune_from),
        tune=past.between(tune_from, decide_from),
        decide=past.between(decide_from, known_until),
        gap=past.between(known_until, test_from),
        test=payments.between(test_from, test_until),
        test_from=test_from,
    )
    _refuse_unusable_periods(parts, plan, times.iloc[0], times.iloc[-1])
    return parts


def first_moment(plan: SplitPlan, gap: dt.timedelta, last: pd.Timestamp) -> pd.Timestamp | None:
    """When the learn period begins, for a history that ends at `last`; None: with its first payment."""
    if plan.learn_days is None:
        return None
    test_from, _ = _test_period(plan, last)
    return test_from - gap - pd.Timedelta(days=plan.decide_days + plan.tune_days + plan.learn_days)


def _test_period(plan: SplitPlan, last: pd.Timestamp) -> tuple[pd.Timestamp, pd.Timestamp]:
    length = pd.Timedelta(days=plan.test_days)
    if plan.test_from is not None:
        start = pd.Timestamp(plan.test_from, tz="UTC")
        return start, start + length
    end = last + pd.Timedelta(milliseconds=1)
    return end - length, end


def _refuse_unusable_periods(parts: Split, plan: SplitPlan, first: pd.Timestamp, last: pd.Timestamp) -> None:
    required = {"learn": parts.learn, "decide": parts.decide, "test": parts.test}
    if plan.tune_days > 0:
        required["tune"] = parts.tune
    span = f"The history runs from {first:%Y-%m-%d} to {last:%Y-%m-%d}, the test starts {parts.test_from:%Y-%m-%d}"
    problems = []
    for name, part in required.items():
        if not len(part):
            problems.append(f"the period {name} holds no payment")
        elif name != "test" and not part.fraud.any():
            problems.append(f"the period {name} holds no fraud that was known by then")
        elif name != "test" and part.fraud.all():
            problems.append(f"the period {name} holds nothing but fraud")
    if problems:
        raise InvalidHistory(
            f"{span}: {'; '.join(problems)}.",
            "Shorten test_days, decide_days or tune_days in the recipe, move test_from, or give a longer history.",
        )
