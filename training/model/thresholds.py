"""Thresholds from the costs of decisions and the capacity of the review desk.

Expected cost of deciding about one payment, with fraud f (0 or 1), amount a, and `Costs`:

    approve     f * (a + chargeback fee)
    challenge   challenge + f * (1 - challenge stops) * (a + fee) + (1 - f) * abandoned * lost(a)
    review      review    + f * (1 - review stops)    * (a + fee) + (1 - f) * abandoned * lost(a)
    decline     (1 - f) * lost(a)            where lost(a) = insult + margin * a, a legitimate payment that fails
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.bundle.amount_rules import amount_rules
from features.bundle.policy import DECISIONS, MODEL, STARTER_RULES, Band, Policy
from features.catalogue.catalogue import Catalogue
from features.catalogue.catalogue import catalogue as default_catalogue
from training.data.arrays import Flags, Floats
from training.recipe import Costs

CANDIDATES = 400
"""Number of candidate cuts, spread over the ranks of the scores, most of them among the highest."""

PEAK = 10
"""Traffic of a festival's first minutes in mean minutes; it sizes the exposure limit of tiers without a score."""
MINUTES_PER_DAY = 1_440
USUAL = 0.999
"""Share of payments whose amounts are usual; larger ones may meet the rules on the amount."""
PRIOR_SHARE = 0.02
"""Weight of the prior in `channel_risk`, as a share of all money."""
MOST_RISK = 10.0


class Thresholds(msgspec.Struct, frozen=True):
    """Half-open intervals [0, challenge) [challenge, review) [review, decline) [decline, 1] that tile [0, 1]."""

    challenge_at: float
    review_at: float
    decline_at: float
    cost_minor: float
    """Cost of these cuts on the payments they were chosen on, reference minor units."""


def decision_costs(amounts: Floats, fraud: Flags, costs: Costs) -> Floats:
    """The cost of each decision for each payment: float64[4, n], rows in the order of DECISIONS, minor units."""
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
        fraud: whether each payment is a fraud.
        days: length of the period that the payments fill.
        costs: costs of decisions.
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
    """Index in DECISIONS of each score, by thresholds alone."""
    edges = [thresholds.challenge_at, thresholds.review_at, thresholds.decline_at]
    return np.searchsorted(edges, scores, side="right")


def cost_of(scores: Floats, amounts: Floats, fraud: Flags, thresholds: Thresholds, costs: Costs) -> float:
    """Total cost of these thresholds on these payments, reference minor units."""
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
    catalogue: Catalogue | None = None,
) -> Policy:
    """The policy with the cheapest thresholds, the starter rules, and limits for decisions without a score.

    Args:
        scores: as in `cheapest_thresholds`, like the next five.
        amounts: reference minor units.
        fraud: whether each payment is a fraud.
        days: length of the period.
        costs: costs of decisions.
        reviews_per_day: capacity of the desk.
        lower_tier_share: share of payments, smallest first, that may be approved without a score.
        channels: code of each payment's channel; None makes all channels equally risky.
        catalogue: the model's; its weights give the bounds of the rules on the amount, its channels their names.
    """
    known = catalogue or default_catalogue()
    cuts = cheapest_thresholds(scores, amounts, fraud, days, costs, reviews_per_day)
    small = int(np.quantile(amounts, lower_tier_share))
    large = max(small + 1, int(np.quantile(amounts, 0.995)))
    usual_most_minor = int(np.quantile(amounts, USUAL))
    a_minute = float(amounts[amounts <= small].sum()) / (days * MINUTES_PER_DAY)
    return Policy(
        challenge_at=cuts.challenge_at,
        review_at=cuts.review_at,
        decline_at=cuts.decline_at,
        rules=(*STARTER_RULES, *amount_rules(known.weights, usual_most_minor)),
        default_bands=(Band(small, "approve"), Band(large, "challenge"), Band(None, "review")),
        lower_tier_approve_up_to_minor=small,
        # At least one payment of the largest approvable amount.
        lower_tier_exposure_per_minute_minor=max(small, round(PEAK * a_minute)),
        usual_decline_share={MODEL: float(np.mean(scores >= cuts.decline_at))},
        channel_risk={} if channels is None else channel_risk(channels, amounts, fraud, known.channel_codes),
    )


def channel_risk(channels: Floats, amounts: Floats, fraud: Flags, codes: Mapping[str, float]) -> dict[str, float]:
    """The fraud loss rate of each channel relative to all channels; riskier channels are shed last under overload.

    Channels with little money are shrunk towards 1; without fraud the result is empty. `codes` names the channels.
    """
    total, lost = float(amounts.sum()), float(amounts[fraud].sum())
    if not lost or not total:
        return {}
    usual, weight = lost / total, PRIOR_SHARE * total
    found = {}
    for name, code in codes.items():
        own = channels == code
        share = (float(amounts[own & fraud].sum()) + weight * usual) / (float(amounts[own].sum()) + weight)
        found[name] = round(min(max(share / usual, 1 / MOST_RISK), MOST_RISK), 3)
    return found


def thresholds_of(policy: Policy) -> Thresholds:
    """The cuts of a policy, with an unknown cost (NaN)."""
    return Thresholds(policy.challenge_at, policy.review_at, policy.decline_at, float("nan"))


def _candidates(scores: Floats) -> Floats:
    """Cuts between adjacent scores, and 0 and 1: half at even ranks, half among the highest."""
    distinct = np.unique(scores)
    middles = (distinct[1:] + distinct[:-1]) / 2
    # the middle of two adjacent scores can round down to the lower one, which a half-open interval must exclude
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
