from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.metrics import (
    auc,
    average_precision,
    recall_at_capacity,
    recall_at_false_positive_rate,
    top_of_each_day,
)

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
FRAUD = np.array([True, False, True, False, False, False])
AMOUNTS = np.array([100.0, 1.0, 300.0, 1.0, 1.0, 1.0])


def test_recall_at_a_false_positive_rate_can_be_checked_by_hand() -> None:
    # no legitimate payment may be disturbed: only the first fraud is above every one of them
    assert recall_at_false_positive_rate(SCORES, FRAUD, 0.0) == 0.5
    assert recall_at_false_positive_rate(SCORES, FRAUD, 0.0, AMOUNTS) == 0.25
    # one in four may be disturbed: the cut moves below the second fraud
    assert recall_at_false_positive_rate(SCORES, FRAUD, 0.25) == 1.0


def test_a_constant_score_catches_nothing_for_free() -> None:
    assert recall_at_false_positive_rate(np.full(6, 0.3), FRAUD, 0.01) == 0.0


def test_capacity_is_counted_day_by_day() -> None:
    days = np.array([0, 0, 0, 1, 1, 1])
    assert recall_at_capacity(SCORES, FRAUD, days, 1) == 0.5
    assert recall_at_capacity(SCORES, FRAUD, days, 1, AMOUNTS) == 0.25
    assert recall_at_capacity(SCORES, FRAUD, days, 3) == 1.0


def test_figures_that_need_two_classes_are_undefined_and_not_zero() -> None:
    none = np.zeros(6, dtype=np.bool_)
    assert auc(SCORES, none) is None and average_precision(SCORES, none) is None
    assert recall_at_capacity(SCORES, none, np.zeros(6, np.int64), 2) is None


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(0, 6))
def test_each_day_gives_exactly_its_highest_scores(seed: int, n: int, per_day: int) -> None:
    random = np.random.default_rng(seed)
    scores, days = random.integers(0, 5, n) / 4, random.integers(0, 4, n)
    marked = top_of_each_day(scores, days, per_day)
    for day in np.unique(days):
        at = days == day
        assert marked[at].sum() == min(per_day, at.sum())
        if marked[at].any() and not marked[at].all():
            assert scores[at & marked].min() >= scores[at & ~marked].max()
