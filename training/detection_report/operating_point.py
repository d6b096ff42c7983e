"""The operating point of a score at a false-positive budget: fraud caught, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from training.data.arrays import Flags, Floats, Integers

BUDGET = 0.002
"""Share of good payments that may be challenged or worse."""
ROUNDS = 300
INTERVAL = (2.5, 97.5)


class Share(msgspec.Struct, frozen=True):
    """A share (0..1) with its 95 % bootstrap interval; None where the total is 0."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class OperatingPoint:
    """The payments of a test above the budget's threshold of one score, on the sample and in each bootstrap round.

    `rounds` is bool[rounds, frauds], `weights` float64[rounds, frauds]: how often the bootstrap drew a fraud.
    """

    above: Flags
    frauds: Integers
    rounds: Flags
    weights: Floats

    def share(self, among: Flags, worth: Floats) -> Share:
        """Share of the fraud among the marked payments that is caught, weighted by `worth` per payment of the test."""
        inside, value = among[self.frauds], worth[self.frauds]
        total = float(value[inside].sum())
        if total <= 0:
            return Share(None, None, None)
        point = float(value[inside & self.above[self.frauds]].sum()) / total
        drawn = self.weights * (value * inside)
        totals = drawn.sum(axis=1)
        shares = (drawn * self.rounds).sum(axis=1)[totals > 0] / totals[totals > 0]
        low, high = np.percentile(shares, INTERVAL)
        return Share(point, float(low), float(high))


def threshold_at(scores: Floats, good: Flags, budget: float = BUDGET, weights: Floats | None = None) -> float:
    """The lowest threshold that at most a share `budget` of the good payments exceeds (score > threshold)."""
    good_scores = scores[good]
    order = np.argsort(-good_scores, kind="stable")
    worth = np.ones(len(order)) if weights is None else weights[good][order]
    allowed = budget * worth.sum()
    place = int(np.searchsorted(np.cumsum(worth), allowed, side="right"))
    return float(good_scores[order[place]]) if place < len(order) else -np.inf


def operating_point(
    scores: Floats, fraud: Flags, payers: Integers, budget: float = BUDGET, seed: int = 0
) -> OperatingPoint:
    """The operating point of a score at a budget, with a bootstrap over payers (one payer's payments correlate).

    Args:
        scores: float64[n].
        fraud: the truth.
        payers: a number per payer.
        budget: share of good payments that may be disturbed.
        seed: of the bootstrap.
    """
    frauds = np.flatnonzero(fraud)
    # only good payments near the threshold are resampled; of the others only the number matters
    near = np.flatnonzero(~fraud & (scores >= np.quantile(scores[~fraud], max(0.0, 1 - 4 * budget))))
    sampled = np.concatenate([frauds, near])
    names, place = np.unique(payers[sampled], return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.poisson(1.0, (ROUNDS, len(names)))[:, place].astype(np.float64)
    order = np.argsort(-scores[near], kind="stable")
    allowed = budget * float((~fraud).sum())
    rounds = np.empty((ROUNDS, len(frauds)), np.bool_)
    for number, weights in enumerate(drawn):
        used = np.cumsum(weights[len(frauds) :][order])
        at = min(int(np.searchsorted(used, allowed, side="right")), len(order) - 1)
        rounds[number] = scores[frauds] > scores[near[order[at]]]
    return OperatingPoint(scores > threshold_at(scores, ~fraud, budget), frauds, rounds, drawn[:, : len(frauds)])
