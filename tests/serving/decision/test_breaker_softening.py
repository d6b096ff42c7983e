"""What an open breaker softens is never milder than what a lower score gets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bundle.bundle import Bundle, read_bundle
from features.bundle.policy import MODEL, Policy, Rule
from features.catalogue.catalogue import catalogue
from features.intake.parse import payment_from
from serving.decision.decision import Decision
from serving.decision.evaluator import Evaluation, Evaluator
from serving.decision.thresholds import below_decline, by_score, decide
from tests.serving.scoring_world import PARAMETERS, payment

scores = st.floats(0, 1)
cuts = st.tuples(*[st.sampled_from((0.0, 0.1, 0.2, 0.5, 0.7, 0.9, 1.0))] * 3).map(sorted)
ordered_scores = st.tuples(scores, scores).map(lambda two: (min(two), max(two)))


def policy_of(edges: list[float], rules: tuple[Rule, ...] = ()) -> Policy:
    return Policy(challenge_at=edges[0], review_at=edges[1], decline_at=edges[2], rules=rules)


@given(cuts, ordered_scores, st.lists(st.sampled_from(list(Decision))), st.booleans())
def test_a_higher_score_never_decides_milder_whether_or_not_the_models_breaker_is_open(
    edges: list[float], two: tuple[float, float], hits: list[Decision], is_open: bool
) -> None:
    policy = policy_of(edges)
    decline_as = below_decline(policy) if is_open else Decision.DECLINE
    lower, higher = (decide(score, hits, policy, 0, model_decline_as=decline_as) for score in two)
    assert lower <= higher


@given(cuts)
def test_a_decline_becomes_the_severest_decision_of_a_lower_score_and_at_least_a_challenge(edges: list[float]) -> None:
    policy = policy_of(edges)
    below = [by_score(score, policy) for score in np.linspace(0, 1, 1_001) if score < policy.decline_at]
    assert below_decline(policy) == max([Decision.CHALLENGE, *below])
    assert below_decline(policy) < Decision.DECLINE


@pytest.fixture(scope="module")
def scored(bundle: Path) -> Bundle:
    return read_bundle(bundle)


def evaluator_of(bundle: Bundle, policy: Policy) -> Evaluator:
    return Evaluator(msgspec.structs.replace(bundle, policy=policy), KNOWN)


KNOWN = catalogue(PARAMETERS)
PAYMENT = payment_from(payment("t-1"), KNOWN)


def judged(evaluator: Evaluator, score: float, breakers: tuple[str, ...]) -> Evaluation:
    vector = np.zeros(len(evaluator.scorer.names))
    return evaluator.evaluate(PAYMENT, vector, (0.0, score), explain=False, open_breakers=breakers)


actions = st.sampled_from(["challenge", "review", "decline"])
conditions = st.one_of(
    st.tuples(st.just("score"), st.sampled_from([">", ">="]), st.sampled_from((0.05, 0.3, 0.6, 0.95))),
    st.just(("local_hour", ">=", 0.0)),  # holds
    st.just(("local_hour", ">=", 25.0)),  # never does
)
rule_sets = st.lists(st.tuples(conditions, actions), max_size=4).map(
    lambda rules: tuple([Rule(f"r{i}", (when,), action, ".") for i, (when, action) in enumerate(rules)])
)


@settings(max_examples=40, deadline=None)
@given(edges=cuts, rules=rule_sets, two=ordered_scores, breakers=st.sets(st.sampled_from((MODEL, "r0", "r1", "r2"))))
def test_no_policy_and_no_open_breakers_turn_the_order_of_two_scores_around(
    scored: Bundle,
    edges: list[float],
    rules: tuple[Rule, ...],
    two: tuple[float, float],
    breakers: set[str],
) -> None:
    evaluator = evaluator_of(scored, policy_of(edges, rules))
    lower, higher = (judged(evaluator, score, tuple(sorted(breakers))) for score in two)
    assert lower.decision <= higher.decision
    for one in (lower, higher):
        closed = judged(evaluator, one.score or 0.0, ())
        assert closed.softened == ()
        # Named exactly where it was softened, and then by all that asked for a decline.
        assert (one.decision < closed.decision) == bool(one.softened)
        assert set(one.softened) <= set(one.declining) & breakers
        if one.softened:
            assert closed.decision is Decision.DECLINE
            assert one.softened_by == tuple(f"breaker:{name}" for name in one.declining)


def test_a_score_of_0_97_is_reviewed_where_one_of_0_22_is(scored: Bundle) -> None:
    evaluator = evaluator_of(scored, policy_of([0.1, 0.2, 0.9]))
    assert [judged(evaluator, score, (MODEL,)).decision.word for score in (0.22, 0.97)] == ["review", "review"]
    assert judged(evaluator, 0.97, (MODEL,)).softened_by == ("breaker:model",)


def test_a_list_decides_before_any_breaker_and_is_never_named_as_softened(scored: Bundle) -> None:
    for kind in ("allow", "block"):
        policy = msgspec.structs.replace(policy_of([0.1, 0.2, 0.9]), **{kind: {"payer": ("u-42",)}})
        one = judged(evaluator_of(scored, policy), 0.97, (MODEL,))
        assert (one.decision.word, one.softened) == ("approve" if kind == "allow" else "decline", ())
