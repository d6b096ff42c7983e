"""Metrics of scores: pure functions of scores, labels, amounts and days.

Every function takes arrays of equal length, one element per payment. `None` means that the metric is undefined (one
class only, no value), which is not zero.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from training.data.arrays import Flags, Floats, Integers

FALSE_POSITIVE_RATES = (0.001, 0.002, 0.005, 0.01)
"""False-positive rates of the report: 0.1 %, 0.2 %, 0.5 % and 1 %."""


def auc(scores: Floats, fraud: Flags) -> float | None:
    """Area under the ROC curve: the chance that a fraud scores above a legitimate payment."""
    return float(roc_auc_score(fraud, scores)) if _both_classes(fraud) else None


def average_precision(scores: Floats, fraud: Flags) -> float | None:
    """Average precision as scikit-learn defines it: the step-wise area under precision over recall."""
    return float(average_precision_score(fraud, scores)) if _both_classes(fraud) else None


def recall_at_false_positive_rate(
    scores: Floats, fraud: Flags, rate: float, weights: Floats | None = None
) -> float | None:
    """Recall of the lowest threshold whose false-positive rate is at most `rate`.

    With `weights` (amounts) recall is by value; the false-positive rate stays by count.
    """
    if not _both_classes(fraud):
        return None
    false_rate, _, thresholds = roc_curve(fraud, scores, drop_intermediate=False)
    allowed = np.flatnonzero(false_rate <= rate)
    threshold = thresholds[allowed[-1]]
    return _share_caught(scores >= threshold, fraud, weights)


def recall_at_capacity(
    scores: Floats, fraud: Flags, days: Integers, per_day: int, weights: Floats | None = None
) -> float | None:
    """Recall of the `per_day` highest scores of each day, the capacity of a review desk."""
    if not fraud.any():
        return None
    return _share_caught(top_of_each_day(scores, days, per_day), fraud, weights)


def top_of_each_day(scores: Floats, days: Integers, per_day: int) -> Flags:
    """Mark the `per_day` highest scores of each day; among equal scores the earlier row."""
    order = np.lexsort((np.arange(len(scores)), -scores, days))
    sorted_days = days[order]
    day_starts = np.searchsorted(sorted_days, sorted_days, side="left")
    marked = np.zeros(len(scores), dtype=np.bool_)
    marked[order] = np.arange(len(scores)) - day_starts < per_day
    return marked


def card_precision(
    scores: Floats,
    fraud: Flags,
    days: Integers,
    customers: Sequence[Hashable] | NDArray[Any],
    top: int = 100,
) -> float:
    """Card precision at `top` (CP@100) exactly as the Handbook defines it.

    Per day: the highest score per customer, the `top` customers, the share of `top` that had a fraud then.
    A customer detected on one day is taken out of all later days. The result is the mean of the days.

    Source: Le Borgne et al., Fraud Detection Handbook, chapter 4 section 4 (precision top-k metrics).
    """
    names, codes = np.unique(np.asarray(customers), return_inverse=True)
    detected = np.zeros(len(names), dtype=np.bool_)
    precisions: list[float] = []
    for day in np.unique(days):
        rows = np.flatnonzero((days == day) & ~detected[codes])
        best = np.full(len(names), -np.inf)
        np.maximum.at(best, codes[rows], scores[rows])
        had_fraud = np.zeros(len(names), dtype=np.bool_)
        had_fraud[codes[rows[fraud[rows]]]] = True
        candidates = np.unique(codes[rows])
        chosen = candidates[np.argsort(-best[candidates], kind="stable")[:top]]
        hits = chosen[had_fraud[chosen]]
        detected[hits] = True
        precisions.append(len(hits) / top)
    return float(np.mean(precisions)) if precisions else 0.0


def brier(scores: Floats, fraud: Flags) -> float | None:
    """Brier score: mean squared difference of probability and outcome (0 is perfect)."""
    return float(np.mean((scores - fraud) ** 2)) if len(scores) else None


def _share_caught(caught: Flags, fraud: Flags, weights: Floats | None) -> float | None:
    worth = np.ones(len(fraud)) if weights is None else weights
    total = float(worth[fraud].sum())
    return float(worth[fraud & caught].sum()) / total if total > 0 else None


def _both_classes(fraud: Flags) -> bool:
    return bool(fraud.any()) and not bool(fraud.all())
