"""Thresholds from money and from the desk's capacity: what each decision costs, and the cheapest cuts.

Expected cost of deciding about one payment, with fraud f (0 or 1), amount a, and `Costs`:

    approve     f * (a + chargeback fee)
    challenge   challenge + f * (1 - challenge stops) * (a + fee) + (1 - f) * abandoned * lost(a)
    review      review    + f * (1 - review stops)    * (a + fee) + (1 - f) * abandoned * lost(a)
    decline     (1 - f) * lost(a)            where lost(a) = insult + margin * a, a legitimate payment that fails
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.bundle.policy import DECISIONS, MODEL, STARTER_RULES, Band, Policy
from features.domain.payment import CHANNELS
from training.data.arrays import Flags, Floats
from training.recipe import Costs

CANDIDATES = 400
"""Cuts that are tried, spread over the ranks of the scores, most of them among the highest."""

PEAK = 10
"""How many times the mean minute a festival's first minutes carry: the room for approvals without a score."""
MINUTES_PER_DAY = 1_440
PRIOR_SHARE = 0.02
"""Money that each channel is lent at the usual loss, as a share of all: a few payments prove nothing."""
MOST_RISK = 10.0


class Thresholds(msgspec.Struct, frozen=True):
    """Half-open intervals [0, challenge) [challenge, review) [review, decline) [decline, 1] that tile [0, 1]."""

    challenge_at: float
    review_at: float
    decline_at: float
    cost_minor: float
    """What these cuts cost on the payments they were chosen on, reference minor units."""


def decision_costs(amounts: Floats, fraud: Flags, costs: Costs) -> Floats:
    """What each decision costs for each payment: float64[4, n], rows in the order of DECISIONS, minor units."""
    loss = fraud * (amounts + costs.chargeback_fee_minor)
    lost = ~fraud * (costs.insult_minor + costs.margin * amounts)
    return np.stack(
        [
            loss,
            costs.challenge_minor + (1 - costs.challenge_stops) * loss + costs.challenge_abandoned * lost,
            costs.review_minor + (1 - costs.review_stops) * loss + costs.review_abandoned * lost,
            lost,
        ]
    )


def cheapest_thresholds(
    scores: Floats, amounts: Floats, fraud: Flags, days: float, costs: Costs, reviews_per_day: int
) -> Thresholds:
    """The three cuts with the lowest total cost among those that give the desk at most its daily capacity.

    Args:
        scores: calibrated probabilities, one per payment.
        amounts: reference minor units.
        fraud: what the payments turned out to be.
        days: length of the period that the payments fill.
        costs: what decisions cost.
        reviews_per_day: mean number of payments a day that may be sent to review.
    """
    cuts = _candidates(scores)
    order = np.argsort(scores, kind="stable")
    below = np.searchsorted(scores[order], cuts, side="left")
    sums = np.zeros((len(DECISIONS), len(scores) + 1))
    np.cumsum(decision_costs(amounts, fraud, costs)[:, order], axis=1, out=sums[:, 1:])
    approve, challenge, review, decline = sums[:, below]

    # total(i <= j <= k) = (approve - challenge)[i] + (challenge - review)[j] + (review - decline)[k] + all declined
    first, second, third = approve - challenge, challenge - review, review - decline
    best_first = np.minimum.accumulate(first)
    where_first = _place_of_running_minimum(first)
    affordable = below[None, :] - below[:, None] <= reviews_per_day * days
    later = np.tri(len(cuts), dtype=np.bool_).T
    upper = np.where(later & affordable, third[None, :], np.inf)
    where_third = np.argmin(upper, axis=1)
    total = best_first + second + upper[np.arange(len(cuts)), where_third]
    j = int(np.argmin(total))
    i, k = int(where_first[j]), int(where_third[j])
    return Thresholds(float(cuts[i]), float(cuts[j]), float(cuts[k]), float(total[j] + sums[3, -1]))


def decide(scores: Floats, thresholds: Thresholds) -> NDArray[np.int64]:
    """Place in DECISIONS of each score, by thresholds alone."""
    edges = [thresholds.challenge_at, thresholds.review_at, thresholds.decline_at]
    return np.searchsorted(edges, scores, side="right")


def cost_of(scores: Floats, amounts: Floats, fraud: Flags, thresholds: Thresholds, costs: Costs) -> float:
    """What these thresholds cost on these payments in total, reference minor units."""
    chosen = decide(scores, thresholds)
    return float(decision_costs(amounts, fraud, costs)[chosen, np.arange(len(scores))].sum())


def cheapest_policy(
    scores: Floats,
    amounts: Floats,
    fraud: Flags,
    days: float,
    costs: Costs,
    reviews_per_day: int,
    lower_tier_share: float = 0.5,
    channels: Floats | None = None,
) -> Policy:
    """The policy with the cheapest thresholds, the starter rules, and amounts for when there is no score.

    Args:
        scores: as in `cheapest_thresholds`, like the next five.
        amounts: reference minor units.
        fraud: what the payments turned out to be.
        days: length of the period.
        costs: what decisions cost.
        reviews_per_day: capacity of the desk.
        lower_tier_share: share of payments, smallest first, that may be approved without a score.
        channels: place in CHANNELS of each payment; without it, no channel is riskier than another.
    """
    cuts = cheapest_thresholds(scores, amounts, fraud, days, costs, reviews_per_day)
    small = int(np.quantile(amounts, lower_tier_share))
    large = max(small + 1, int(np.quantile(amounts, 0.995)))
    a_minute = float(amounts[amounts <= small].sum()) / (days * MINUTES_PER_DAY)
    return Policy(
        challenge_at=cuts.challenge_at,
        review_at=cuts.review_at,
        decline_at=cuts.decline_at,
        rules=STARTER_RULES,
        default_bands=(Band(small, "approve"), Band(large, "challenge"), Band(None, "review")),
        lower_tier_approve_up_to_minor=small,
        # Never less than one of the payments that may be approved.
        lower_tier_exposure_per_minute_minor=max(small, round(PEAK * a_minute)),
        usual_decline_share={MODEL: float(np.mean(scores >= cuts.decline_at))},
        channel_risk={} if channels is None else channel_risk(channels, amounts, fraud),
    )


def channel_risk(channels: Floats, amounts: Floats, fraud: Flags) -> dict[str, float]:
    """How much more of its money each channel loses to fraud than all together: what is shed last under overload.

    Channels with little money are drawn towards 1; without fraud nothing is known and nothing is told.
    """
    total, lost = float(amounts.sum()), float(amounts[fraud].sum())
    if not lost or not total:
        return {}
    usual, weight = lost / total, PRIOR_SHARE * total
    found = {}
    for code, name in enumerate(CHANNELS):
        own = channels == code
        share = (float(amounts[own & fraud].sum()) + weight * usual) / (float(amounts[own].sum()) + weight)
        found[name] = round(min(max(share / usual, 1 / MOST_RISK), MOST_RISK), 3)
    return found


def thresholds_of(policy: Policy) -> Thresholds:
    """The cuts that a policy holds; their cost is not known here."""
    return Thresholds(policy.challenge_at, policy.review_at, policy.decline_at, float("nan"))


def _candidates(scores: Floats) -> Floats:
    """Cuts between neighbouring scores, and 0 and 1: half of them in even ranks, half among the top."""
    distinct = np.unique(scores)
    middles = (distinct[1:] + distinct[:-1]) / 2
    # a middle of two neighbours can round down to the lower one, which a half-open interval must not include
    middles = np.where(middles > distinct[:-1], middles, distinct[1:])
    if len(middles) > CANDIDATES:
        even = np.linspace(0, len(middles) - 1, CANDIDATES // 2)
        top = len(middles) - np.geomspace(1, len(middles), CANDIDATES // 2)
        middles = middles[np.unique(np.concatenate([even, top]).round().astype(np.int64))]
    return np.unique(np.concatenate([[0.0], np.clip(middles, 0.0, 1.0), [1.0]]))


def _place_of_running_minimum(values: Floats) -> NDArray[np.int64]:
    lowest = np.minimum.accumulate(values)
    is_new = np.concatenate([[True], values[1:] < lowest[:-1]])
    return np.maximum.accumulate(np.where(is_new, np.arange(len(values)), 0))
