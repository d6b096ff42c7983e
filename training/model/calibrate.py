"""From a margin to a probability: Platt's logistic curve, strictly rising, so that no order ever changes."""

from __future__ import annotations

import msgspec
import numpy as np

from features.bundle.calibration import probabilities
from training.data.arrays import Flags, Floats

SMALLEST_SLOPE = 1e-3
"""A model that learned nothing may fit a falling curve; a rising one this flat says the same and keeps order."""
_STEPS = 100


class Bin(msgspec.Struct, frozen=True):
    """One row of a reliability table: what was promised and what came."""

    payments: int
    frauds: int
    mean_score: float
    fraud_rate: float


def platt(margins: Floats, fraud: Flags) -> tuple[float, float]:
    """Slope (above 0) and intercept of p = 1 / (1 + exp(-(slope * margin + intercept))).

    Maximum likelihood with Platt's smoothed targets, by Newton's method.
    Source: Platt 1999; Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs".

    Raises:
        ValueError: there is only one class.
    """
    frauds, others = int(fraud.sum()), int((~fraud).sum())
    if not frauds or not others:
        raise ValueError("calibration needs frauds and legitimate payments: lengthen decide_days")
    target = np.where(fraud, (frauds + 1) / (frauds + 2), 1 / (others + 2))
    centre, spread = float(margins.mean()), float(margins.std()) or 1.0
    x = (margins - centre) / spread
    slope, intercept = 0.0, float(np.log((frauds + 1) / (others + 1)))
    loss = _loss(x, target, slope, intercept)
    for _ in range(_STEPS):
        p = probabilities(x, slope, intercept)
        error, weight = p - target, np.maximum(p * (1 - p), 1e-12)
        gradient = np.array([np.sum(error * x), np.sum(error)])
        cross = np.sum(weight * x)
        hessian = np.array([[np.sum(weight * x * x), cross], [cross, np.sum(weight)]]) + 1e-10 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-8:
            trial = _loss(x, target, slope - size * step[0], intercept - size * step[1])
            if trial <= loss:
                break
            size /= 2
        slope, intercept = slope - size * float(step[0]), intercept - size * float(step[1])
        if abs(loss - trial) < 1e-12 * max(1.0, loss):
            break
        loss = trial
    if slope / spread < SMALLEST_SLOPE:
        base = float(np.log((frauds + 1) / (others + 1)))
        return SMALLEST_SLOPE, base - SMALLEST_SLOPE * centre
    return slope / spread, intercept - slope * centre / spread


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


def _loss(x: Floats, target: Floats, slope: float, intercept: float) -> float:
    z = slope * x + intercept
    return float(np.sum(np.logaddexp(0, z) - target * z))
