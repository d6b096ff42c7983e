"""Thresholds tile [0, 1], decisions are ordered, lists and bands say what they say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from features.bundle.policy import Band, Policy
from serving.decision.decision import Decision, decision_named
from serving.decision.thresholds import by_amount, by_score, decide

scores = st.floats(0, 1)
policies = st.tuples(scores, scores, scores).map(
    lambda cuts: Policy(challenge_at=sorted(cuts)[0], review_at=sorted(cuts)[1], decline_at=sorted(cuts)[2])
)


@given(policies, scores)
def test_every_score_falls_into_exactly_one_half_open_interval(policy: Policy, score: float) -> None:
    edges = [0.0, policy.challenge_at, policy.review_at, policy.decline_at, 2.0]
    inside = [Decision(i) for i in range(4) if edges[i] <= score < edges[i + 1]]
    assert inside == [by_score(score, policy)]


@given(policies, scores, scores)
def test_a_higher_score_never_decides_milder(policy: Policy, one: float, other: float) -> None:
    assert by_score(min(one, other), policy) <= by_score(max(one, other), policy)


@given(policies, scores, st.lists(st.sampled_from(list(Decision))))
def test_the_severest_voice_decides(policy: Policy, score: float, hits: list[Decision]) -> None:
    assert decide(score, hits, policy, 0) == max([by_score(score, policy), *hits])


@given(policies, st.one_of(st.none(), scores), st.lists(st.sampled_from(list(Decision))))
def test_a_block_list_declines_and_an_allow_list_approves_whatever_else_is_said(
    policy: Policy, score: float | None, hits: list[Decision]
) -> None:
    assert decide(score, hits, policy, 0, listed="block") is Decision.DECLINE
    assert decide(score, hits, policy, 0, listed="allow") is Decision.APPROVE


def test_without_a_score_only_small_amounts_are_approved() -> None:
    policy = Policy(challenge_at=0.1, review_at=0.2, decline_at=0.3, lower_tier_approve_up_to_minor=100)
    assert decide(None, [], policy, 100) is Decision.APPROVE
    assert decide(None, [], policy, 101) is Decision.CHALLENGE


def test_bands_include_their_upper_end_and_the_last_takes_the_rest() -> None:
    bands = (Band(100, "approve"), Band(1_000, "challenge"), Band(None, "review"))
    policy = Policy(challenge_at=0.1, review_at=0.2, decline_at=0.3, default_bands=bands)
    found = [by_amount(amount, policy).word for amount in (0, 100, 101, 1_000, 1_001, 10**12)]
    assert found == ["approve", "approve", "challenge", "challenge", "review", "review"]


def test_words_and_decisions_are_the_same_order() -> None:
    assert [d.word for d in sorted(Decision)] == ["approve", "challenge", "review", "decline"]
    assert all(decision_named(d.word) is d for d in Decision)
