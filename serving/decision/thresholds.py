"""The policy's thresholds applied: score, rule hits, lists and amount to a decision, by pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from features.bundle.policy import Policy
from serving.decision.decision import Decision, decision_named
from serving.decision.rules import WATCH


def by_score(score: float, policy: Policy) -> Decision:
    """The decision of the score alone; half-open intervals tile [0, 1].

    [0, challenge_at) approve, [challenge_at, review_at) challenge, [review_at, decline_at) review,
    [decline_at, 1] decline.
    """
    if score < policy.challenge_at:
        return Decision.APPROVE
    if score < policy.review_at:
        return Decision.CHALLENGE
    if score < policy.decline_at:
        return Decision.REVIEW
    return Decision.DECLINE


def below_decline(policy: Policy) -> Decision:
    """The decision that replaces a decline while a breaker is open: the severest one of a score below `decline_at`.

    At least a challenge, even for a policy whose scores only approve or decline.
    """
    return Decision.REVIEW if policy.review_at < policy.decline_at else Decision.CHALLENGE


def softened(decision: Decision, decline_as: Decision) -> Decision:
    """`decline_as` for a decline, any other decision unchanged.

    >>> softened(Decision.DECLINE, Decision.REVIEW) is Decision.REVIEW
    True
    """
    return decline_as if decision is Decision.DECLINE else decision


def within_exposure(reference_minor: int, spent_minor: int, policy: Policy) -> bool:
    """Whether one more approval without a score stays within the policy's limit per minute; reference minor units."""
    most = policy.lower_tier_exposure_per_minute_minor
    return most is None or spent_minor + reference_minor <= most


def decide(
    score: float | None,
    hits: Sequence[Decision],
    policy: Policy,
    reference_minor: int,
    *,
    listed: str | None = None,
    spent_minor: int = 0,
    model_decline_as: Decision = Decision.DECLINE,
) -> Decision:
    """The severest decision of the score, the matching rules and the watch list; block and allow decide alone.

    Without a score (tier `rules_only`) a payment is approved only up to the policy's
    `lower_tier_approve_up_to_minor` (reference minor units) and within the exposure limit of the minute, of which
    `spent_minor` is used; otherwise it is challenged. `model_decline_as` replaces a decline of the model while its
    breaker is open.
    """
    if decides_alone(listed):
        return of_list(listed, policy)
    if score is None:
        decision = bounded(by_limit(reference_minor, policy), reference_minor, spent_minor, policy)
    else:
        decision = softened(by_score(score, policy), model_decline_as)
    for action in hits:
        if action > decision:
            decision = action
    return decision if listed is None else max(decision, of_list(listed, policy))


def decides_alone(listed: str | None) -> TypeGuard[str]:
    """Whether a list decides whatever the score and the rules say; the watch list only raises their decision."""
    return listed is not None and listed != WATCH


def of_list(listed: str, policy: Policy) -> Decision:
    """What the policy says of payments on that list."""
    return decision_named(policy.lists[listed])


def by_amount(reference_minor: int, policy: Policy, *, listed: str | None = None, spent_minor: int = 0) -> Decision:
    """The policy's default when nothing else is available (tier `default`), by amount band.

    The first band whose upper end is not below the amount (reference minor units) decides; an approval beyond the
    exposure limit of the minute becomes a challenge.
    """
    if decides_alone(listed):
        return of_list(listed, policy)
    decision = bounded(by_band(reference_minor, policy), reference_minor, spent_minor, policy)
    return decision if listed is None else max(decision, of_list(listed, policy))


def by_limit(reference_minor: int, policy: Policy) -> Decision:
    """The decision by the amount limit of tier `rules_only`, before the exposure limit."""
    return Decision.APPROVE if reference_minor <= policy.lower_tier_approve_up_to_minor else Decision.CHALLENGE


def by_band(reference_minor: int, policy: Policy) -> Decision:
    """The decision of the amount's band, before the exposure limit."""
    for band in policy.default_bands:
        if band.up_to_minor is None or reference_minor <= band.up_to_minor:
            return decision_named(band.decision)
    return Decision.REVIEW  # a policy without an open last band is refused at load


def least_of_last_band(policy: Policy) -> int:
    """The least amount, reference minor units, of the last band that no tier without a score may approve by its limit.

    >>> least_of_last_band(Policy(challenge_at=0.1, review_at=0.2, decline_at=0.3, lower_tier_approve_up_to_minor=5))
    200001
    """
    edges = [band.up_to_minor for band in policy.default_bands if band.up_to_minor is not None]
    return max([policy.lower_tier_approve_up_to_minor, *edges]) + 1


def bounded(decision: Decision, reference_minor: int, spent_minor: int, policy: Policy) -> Decision:
    """An approval beyond the exposure limit of the minute becomes a challenge; nothing else changes."""
    if decision is Decision.APPROVE and not within_exposure(reference_minor, spent_minor, policy):
        return Decision.CHALLENGE
    return decision
