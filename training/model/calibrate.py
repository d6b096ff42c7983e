"""From a margin to a probability: Platt's logistic curve, strictly rising, so that no order ever changes."""

from __future__ import annotations

import msgspec
import numpy as np
from sklearn.linear_model import LogisticRegression

from training.data.arrays import Flags, Floats

SMALLEST_SLOPE = 1e-3
"""A model that learned nothing may fit a falling curve; a rising one this flat says the same and keeps order."""


class Bin(msgspec.Struct, frozen=True):
    """One row of a reliability table: what was promised and what came."""

    payments: int
    frauds: int
    mean_score: float
    fraud_rate: float


def platt(margins: Floats, fraud: Flags) -> tuple[float, float]:
    """Slope (above 0) and intercept of p = 1 / (1 + exp(-(slope * margin + intercept))).

    Maximum likelihood with Platt's smoothed targets.
    Source: Platt 1999; Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs".

    Raises:
        ValueError: there is only one class.
    """
    frauds, others = int(fraud.sum()), int((~fraud).sum())
    if not frauds or not others:
        raise ValueError("calibration needs frauds and legitimate payments: lengthen decide_days")
    target = np.where(fraud, (frauds + 1) / (frauds + 2), 1 / (others + 2))
    centre, spread, slope = float(margins.mean()), float(margins.std()), 0.0
    if np.ptp(margins) > 0:
        # a target between the classes is a row of each, weighted; steps are Newton's, so the tolerance costs little
        x = np.tile((margins - centre) / spread, 2)
        classes, weights = np.repeat([True, False], len(margins)), np.concatenate([target, 1 - target])
        curve = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(x[:, None], classes, weights)
        slope, intercept = float(curve.coef_[0, 0]) / spread, float(curve.intercept_[0])
    if slope < SMALLEST_SLOPE:
        slope, intercept = SMALLEST_SLOPE, float(np.log((frauds + 1) / (others + 1)))
    return slope, intercept - slope * centre


def reliability(scores: Floats, fraud: Flags, bins: int = 12) -> tuple[Bin, ...]:
    """A reliability table with about the same number of *frauds expected* in each bin.

    Bins of equal numbers of payments would put nearly all fraud of rare-event scores into the last one.
    """
    order = np.argsort(scores, kind="stable")
    expected = np.cumsum(scores[order])
    if not len(order) or expected[-1] <= 0:
        return ()
    edges = np.searchsorted(expected, np.linspace(0, expected[-1], bins + 1)[1:-1])
    table = []
    for rows in np.split(order, np.unique(edges)):
        if len(rows):
            hits = int(fraud[rows].sum())
            table.append(Bin(len(rows), hits, float(scores[rows].mean()), hits / len(rows)))
    return tuple(table)


def expected_calibration_error(table: tuple[Bin, ...]) -> float | None:
    """Mean distance between promised and observed fraud rate, weighted by payments (0..1)."""
    total = sum(b.payments for b in table)
    return sum(b.payments * abs(b.mean_score - b.fraud_rate) for b in table) / total if total else None
