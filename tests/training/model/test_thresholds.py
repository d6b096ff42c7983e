from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue.catalogue import catalogue
from features.domain.payment import CHANNELS
from training.model.thresholds import (
    Thresholds,
    channel_risk,
    cheapest_policy,
    cheapest_thresholds,
    cost_of,
    decide,
    decision_costs,
)
from training.recipe import Costs

COSTS = Costs()
Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    n = draw(st.integers(2, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = random.choice([random.random(n), random.integers(0, 4, n) / 3])
    return scores, random.lognormal(10, 2, n), random.random(n) < scores


@settings(max_examples=100)
@given(samples(), st.integers(0, 5))
def test_thresholds_tile_the_scores_and_keep_the_capacity(sample: Sample, capacity: int) -> None:
    scores, amounts, fraud = sample
    cuts = cheapest_thresholds(scores, amounts, fraud, 2.0, COSTS, capacity)
    assert 0 <= cuts.challenge_at <= cuts.review_at <= cuts.decline_at <= 1
    assert np.sum((scores >= cuts.review_at) & (scores < cuts.decline_at)) <= 2 * capacity
    chosen = decide(scores, cuts)
    assert set(np.unique(chosen)) <= {0, 1, 2, 3}
    assert all(np.diff(chosen[np.argsort(scores)]) >= 0), "a higher score never gets a milder decision"


@settings(max_examples=100)
@given(samples(), st.integers(0, 5), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_no_other_cuts_within_the_capacity_are_cheaper(sample: Sample, capacity: int, others: list[float]) -> None:
    scores, amounts, fraud = sample
    best = cheapest_thresholds(scores, amounts, fraud, 1.0, COSTS, capacity)
    rival = Thresholds(*sorted(others), 0.0)
    if np.sum(decide(scores, rival) == 2) <= capacity:
        limit = cost_of(scores, amounts, fraud, rival, COSTS)
        assert best.cost_minor <= limit + 1e-6 * abs(limit)


@settings(max_examples=50)
@given(samples())
def test_the_cost_that_is_told_is_the_cost_that_comes(sample: Sample) -> None:
    scores, amounts, fraud = sample
    cuts = cheapest_thresholds(scores, amounts, fraud, 1.0, COSTS, 3)
    if cuts.decline_at == 1.0 and (scores == 1.0).any():
        return
    assert np.isclose(cuts.cost_minor, cost_of(scores, amounts, fraud, cuts, COSTS))


@settings(max_examples=50)
@given(samples(), st.integers(0, 10**6))
def test_dearer_challenges_are_never_more_challenges(sample: Sample, more: int) -> None:
    scores, amounts, fraud = sample
    expensive = Costs(challenge_minor=COSTS.challenge_minor + more)
    few = decide(scores, cheapest_thresholds(scores, amounts, fraud, 1.0, expensive, 3))
    many = decide(scores, cheapest_thresholds(scores, amounts, fraud, 1.0, COSTS, 3))
    assert np.sum(few == 1) <= np.sum(many == 1)


def test_costs_can_be_checked_by_hand() -> None:
    costs = Costs(
        chargeback_fee_minor=100, challenge_minor=10, challenge_abandoned=0.1, challenge_stops=0.5, review_minor=20,
        review_stops=1.0, review_abandoned=0.0, insult_minor=50, margin=0.1,
    )  # fmt: skip
    table = decision_costs(np.array([1000.0, 1000.0]), np.array([True, False]), costs)
    # fraud: 1100 lost; half of it after a challenge; nothing after review or decline
    assert table[:, 0].tolist() == [1100.0, 560.0, 20.0, 0.0]
    # legitimate: 50 + 100 are lost with a failed payment, a tenth of that when challenged
    assert table[:, 1].tolist() == [0.0, 25.0, 20.0, 150.0]


def test_the_policy_is_sound_for_the_catalogue() -> None:
    random = np.random.default_rng(1)
    scores = random.random(500) ** 4
    policy = cheapest_policy(scores, random.lognormal(10, 1, 500), random.random(500) < scores, 7, COSTS, 5)
    assert policy.lower_tier_exposure_per_minute_minor is not None
    assert policy.lower_tier_exposure_per_minute_minor >= policy.lower_tier_approve_up_to_minor
    assert policy.usual_decline_share == {"model": float(np.mean(scores >= policy.decline_at))}
    assert policy.problems(catalogue().names) == []


def test_a_channel_that_loses_more_of_its_money_to_fraud_counts_for_more() -> None:
    channels = np.repeat([0.0, 1.0, 2.0], [1_000, 1_000, 3])
    amounts = np.full(2_003, 100.0)
    fraud = np.zeros(2_003, dtype=np.bool_)
    fraud[:100] = True  # a tenth of the first channel
    fraud[1_000:1_010] = True  # a hundredth of the second
    fraud[2_000:] = True  # three payments of the third, all of them: too few to tell
    found = channel_risk(channels, amounts, fraud, catalogue().channel_codes)
    assert found["online"] > 1.5 > 1.0 > found["in_app"]
    assert 1.0 < found[CHANNELS[2]] < 3.0
    assert found[CHANNELS[3]] == 1.0
    assert channel_risk(channels, amounts, np.zeros(2_003, dtype=np.bool_), catalogue().channel_codes) == {}
