"""From a score, rule hits and a policy to a decision: an ordered enum and pure functions."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from features.bundle.policy import Policy


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


def below_decline(policy: Policy) -> Decision:
    """What an open breaker leaves of a decline: the severest decision of a score below `decline_at`.

    At least a challenge: a policy whose scores are approved or declined still trusts no such payment.
    """
    return Decision.REVIEW if policy.review_at < policy.decline_at else Decision.CHALLENGE


def softened(decision: Decision, decline_as: Decision) -> Decision:
    """A decision whose decline is replaced; anything else stays.

    >>> softened(Decision.DECLINE, Decision.REVIEW) is Decision.REVIEW
    True
    """
    return decline_as if decision is Decision.DECLINE else decision


def within_exposure(reference_minor: int, spent_minor: int, policy: Policy) -> bool:
    """Whether one more approval without a score stays within what a minute allows; reference minor units."""
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
    """The severest of what the score and the rules that hit ask for; lists come first, block before allow.

    Without a score (tier `rules_only`) a payment is approved only up to the policy's
    `lower_tier_approve_up_to_minor` (reference minor units) and while this minute's approvals without a
    score (`spent_minor`) leave room for it; beyond it is challenged. `model_decline_as` is what a decline of
    the model becomes while its breaker is open.
    """
    if listed == "block":
        return Decision.DECLINE
    if listed == "allow":
        return Decision.APPROVE
    if score is None:
        decision = bounded(by_limit(reference_minor, policy), reference_minor, spent_minor, policy)
    else:
        decision = softened(by_score(score, policy), model_decline_as)
    for action in hits:
        if action > decision:
            decision = action
    return decision


def by_amount(reference_minor: int, policy: Policy, *, listed: str | None = None, spent_minor: int = 0) -> Decision:
    """The policy's default when nothing else is available (tier `default`), by bands of the amount.

    The first band whose upper end is not below the amount (reference minor units) decides; what it would
    approve beyond this minute's exposure is challenged.
    """
    if listed == "block":
        return Decision.DECLINE
    if listed == "allow":
        return Decision.APPROVE
    return bounded(by_band(reference_minor, policy), reference_minor, spent_minor, policy)


def by_limit(reference_minor: int, policy: Policy) -> Decision:
    """What an amount may have without a score when the rules were asked, before exposure is looked at."""
    return Decision.APPROVE if reference_minor <= policy.lower_tier_approve_up_to_minor else Decision.CHALLENGE


def by_band(reference_minor: int, policy: Policy) -> Decision:
    """What an amount's band says, before exposure is looked at."""
    for band in policy.default_bands:
        if band.up_to_minor is None or reference_minor <= band.up_to_minor:
            return _BY_WORD[band.decision]
    return Decision.REVIEW  # a policy without an open last band is refused at load


def bounded(decision: Decision, reference_minor: int, spent_minor: int, policy: Policy) -> Decision:
    """An approval beyond what a minute allows becomes a challenge; nothing else changes."""
    if decision is Decision.APPROVE and not within_exposure(reference_minor, spent_minor, policy):
        return Decision.CHALLENGE
    return decision
