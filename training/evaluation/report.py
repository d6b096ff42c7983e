"""The evaluation report of a model and its policy on an out-of-time test period."""

from __future__ import annotations

import msgspec
import numpy as np

from features.bundle.policy import DECISIONS, Policy
from training.data.arrays import Floats
from training.data.frame import Frame
from training.data.slices import SEGMENTS
from training.evaluation.metrics import (
    FALSE_POSITIVE_RATES,
    auc,
    average_precision,
    brier,
    card_precision,
    recall_at_capacity,
    recall_at_false_positive_rate,
)
from training.model.calibrate import Bin, expected_calibration_error, reliability
from training.model.thresholds import Thresholds, cost_of, decide, thresholds_of
from training.recipe import Costs

SMALLEST_SEGMENT_FRAUDS = 5
"""Segments with fewer frauds get no ranking metric: it would be noise."""


class Recall(msgspec.Struct, frozen=True):
    """Share of fraud caught (0..1) under one limit, by count and by value."""

    limit: str
    by_count: float | None
    by_value: float | None


class SegmentFigures(msgspec.Struct, frozen=True):
    """The metrics of one part of the traffic."""

    segment: str
    value: str
    payments: int
    frauds: int
    auc: float | None
    average_precision: float | None
    disturbed: float
    """Share of its legitimate payments that were not approved."""


class DecisionFigures(msgspec.Struct, frozen=True):
    """The payments that got one decision."""

    decision: str
    payments: int
    frauds: int
    fraud_minor: int


class EvaluationReport(msgspec.Struct, frozen=True):
    """All figures of one model on one test; amounts in reference minor units."""

    first_day: str
    last_day: str
    payments: int
    frauds: int
    amount_minor: int
    fraud_minor: int
    auc: float | None
    average_precision: float | None
    card_precision_100: float
    brier: float | None
    expected_calibration_error: float | None
    recalls: tuple[Recall, ...]
    reliability: tuple[Bin, ...]
    decisions: tuple[DecisionFigures, ...]
    cases_per_day: float
    cost_minor: float
    cost_without_scoring_minor: float
    segments: tuple[SegmentFigures, ...]

    def figures(self) -> dict[str, float]:
        """The scalar figures by name, for the tracker; undefined ones are left out."""
        flat: dict[str, float | None] = {
            name: getattr(self, name)
            for name in (
                *("payments", "frauds", "fraud_minor", "auc", "average_precision", "card_precision_100", "brier"),
                *("expected_calibration_error", "cases_per_day", "cost_minor", "cost_without_scoring_minor"),
            )
        }
        for recall in self.recalls:
            flat[f"recall_at_{recall.limit}"] = recall.by_count
            flat[f"value_recall_at_{recall.limit}"] = recall.by_value
        for row in self.decisions:
            flat[f"decided_{row.decision}"] = row.payments
        return {name: float(value) for name, value in flat.items() if value is not None}


def evaluate(scores: Floats, test: Frame, policy: Policy, costs: Costs, reviews_per_day: int) -> EvaluationReport:
    """Evaluate calibrated scores on a test period after all training data.

    Args:
        scores: one calibrated probability per payment of `test`.
        test: payments with labels in hindsight.
        policy: only its thresholds apply, so that the report is about the model and not the rules.
        costs: costs of decisions.
        reviews_per_day: capacity of the desk.
    """
    fraud, amounts, cuts = test.fraud, test.amounts, thresholds_of(policy)
    table = reliability(scores, fraud)
    chosen = decide(scores, cuts)
    days = float(len(np.unique(test.days)))
    times = test.payments["event_time"]
    nothing = Thresholds(1.0, 1.0, 1.0, 0.0)
    return EvaluationReport(
        first_day=f"{times.iloc[0]:%Y-%m-%d}",
        last_day=f"{times.iloc[-1]:%Y-%m-%d}",
        payments=len(test),
        frauds=int(fraud.sum()),
        amount_minor=int(amounts.sum()),
        fraud_minor=int(amounts[fraud].sum()),
        auc=auc(scores, fraud),
        average_precision=average_precision(scores, fraud),
        card_precision_100=card_precision(scores, fraud, test.days, test.payments["payer_id"].to_numpy(dtype=str)),
        brier=brier(scores, fraud),
        expected_calibration_error=expected_calibration_error(table),
        recalls=_recalls(scores, test, reviews_per_day),
        reliability=table,
        decisions=tuple(
            DecisionFigures(name, int(at.sum()), int((at & fraud).sum()), int(amounts[at & fraud].sum()))
            for name, at in ((name, chosen == place) for place, name in enumerate(DECISIONS))
        ),
        cases_per_day=float((chosen >= DECISIONS.index("review")).sum()) / days,
        cost_minor=cost_of(scores, amounts, fraud, cuts, costs),
        cost_without_scoring_minor=cost_of(np.zeros(len(test)), amounts, fraud, nothing, costs),
        segments=_segments(scores, test, chosen > 0),
    )


def _recalls(scores: Floats, test: Frame, reviews_per_day: int) -> tuple[Recall, ...]:
    fraud, amounts = test.fraud, test.amounts
    found = [
        Recall(
            f"fpr_{rate:.1%}".replace("%", "pct"),
            recall_at_false_positive_rate(scores, fraud, rate),
            recall_at_false_positive_rate(scores, fraud, rate, amounts),
        )
        for rate in FALSE_POSITIVE_RATES
    ]
    found.append(
        Recall(
            f"{reviews_per_day}_reviews_a_day",
            recall_at_capacity(scores, fraud, test.days, reviews_per_day),
            recall_at_capacity(scores, fraud, test.days, reviews_per_day, amounts),
        )
    )
    return tuple(found)


def _segments(
    scores: Floats, test: Frame, disturbed: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[SegmentFigures, ...]:
    found = []
    for segment in SEGMENTS:
        column = test.payments[segment].cat
        for code, value in enumerate(column.categories):
            at = column.codes.to_numpy() == code
            if not at.any():
                continue
            fraud = test.fraud[at]
            enough = int(fraud.sum()) >= SMALLEST_SEGMENT_FRAUDS
            legitimate = ~fraud
            found.append(
                SegmentFigures(
                    segment=segment,
                    value=str(value),
                    payments=int(at.sum()),
                    frauds=int(fraud.sum()),
                    auc=auc(scores[at], fraud) if enough else None,
                    average_precision=average_precision(scores[at], fraud) if enough else None,
                    disturbed=float(disturbed[at][legitimate].mean()) if legitimate.any() else 0.0,
                )
            )
    return tuple(found)
