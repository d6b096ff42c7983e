"""What a score catches when it may disturb a fixed share of the good payments, and how sure that is."""

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
    """A share (0..1) with its 95 % bootstrap interval; None where there is nothing to share."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Caught:
    """The truth of a test and, for one score, what is above the budget's threshold, once and in each round.

    `rounds` is bool[rounds, frauds], `weights` float64[rounds, frauds]: how often a fraud was drawn.
    """

    threshold: float
    above: Flags
    frauds: Integers
    rounds: Flags
    weights: Floats

    def share(self, among: Flags, worth: Floats) -> Share:
        """Share of the fraud among some payments that is caught, weighted by `worth` per payment of the test."""
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
    """The lowest threshold above which at most `budget` of the good payments lie; a payment is above if score > it."""
    good_scores = scores[good]
    order = np.argsort(-good_scores, kind="stable")
    worth = np.ones(len(order)) if weights is None else weights[good][order]
    allowed = budget * worth.sum()
    place = int(np.searchsorted(np.cumsum(worth), allowed, side="right"))
    return float(good_scores[order[place]]) if place < len(order) else -np.inf


def caught(scores: Floats, fraud: Flags, payers: Integers, budget: float = BUDGET, seed: int = 0) -> Caught:
    """Judge a score at a budget, with a bootstrap over payers (what one payer does hangs together).

    Args:
        scores: float64[n].
        fraud: the truth.
        payers: a number per payer.
        budget: share of good payments that may be disturbed.
        seed: of the bootstrap.
    """
    threshold = threshold_at(scores, ~fraud, budget)
    frauds = np.flatnonzero(fraud)
    # only good payments near the threshold matter; of the others it is enough to know how many there are
    near = np.flatnonzero(~fraud & (scores >= np.quantile(scores[~fraud], max(0.0, 1 - 4 * budget))))
    looked_at = np.concatenate([frauds, near])
    names, place = np.unique(payers[looked_at], return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.poisson(1.0, (ROUNDS, len(names)))[:, place].astype(np.float64)
    order = np.argsort(-scores[near], kind="stable")
    allowed = budget * float((~fraud).sum())
    rounds = np.empty((ROUNDS, len(frauds)), np.bool_)
    for number, weights in enumerate(drawn):
        used = np.cumsum(weights[len(frauds) :][order])
        at = min(int(np.searchsorted(used, allowed, side="right")), len(order) - 1)
        rounds[number] = scores[frauds] > scores[near[order[at]]]
    return Caught(threshold, scores > threshold, frauds, rounds, drawn[:, : len(frauds)])
