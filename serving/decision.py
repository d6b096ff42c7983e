"""From a score, rule hits and a policy to a decision: an ordered enum and pure functions."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from features.policy import Policy


class Decision(enum.IntEnum):
    """What to do with a payment, ordered by severity: approve < challenge < review < decline."""

    APPROVE = 0
    CHALLENGE = 1
    REVIEW = 2
    DECLINE = 3

    @property
    def word(self) -> str:
        """The word used in the HTTP contract."""
        return _WORDS[self]


_WORDS = ("approve", "challenge", "review", "decline")
_BY_WORD = {word: Decision(value) for value, word in enumerate(_WORDS)}


def decision_named(word: str) -> Decision:
    """The decision a policy names in words.

    >>> decision_named("review") > decision_named("challenge")
    True
    """
    return _BY_WORD[word]


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


def decide(
    score: float | None, hits: Sequence[Decision], policy: Policy, reference_minor: int, *, listed: str | None = None
) -> Decision:
    """The severest of what the score and the rules that hit ask for; lists come first, block before allow.

    Without a score (tier `rules_only`) a payment is approved only up to the policy's
    `lower_tier_approve_up_to_minor` (reference minor units), beyond it is challenged.
    """
    if listed == "block":
        return Decision.DECLINE
    if listed == "allow":
        return Decision.APPROVE
    if score is not None:
        decision = by_score(score, policy)
    elif reference_minor <= policy.lower_tier_approve_up_to_minor:
        decision = Decision.APPROVE
    else:
        decision = Decision.CHALLENGE
    for action in hits:
        if action > decision:
            decision = action
    return decision


def by_amount(reference_minor: int, policy: Policy, *, listed: str | None = None) -> Decision:
    """The policy's default when nothing else is available (tier `default`), by bands of the amount.

    The first band whose upper end is not below the amount (reference minor units) decides.
    """
    if listed == "block":
        return Decision.DECLINE
    if listed == "allow":
        return Decision.APPROVE
    for band in policy.default_bands:
        if band.up_to_minor is None or reference_minor <= band.up_to_minor:
            return _BY_WORD[band.decision]
    return Decision.REVIEW  # a policy without an open last band is refused at load
