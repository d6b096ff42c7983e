"""What tiers without a score approve within a minute never exceeds the policy's bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from features.bundle.policy import Band, Policy
from serving.decision.decision import Decision
from serving.decision.exposure import MINUTE_MS, Exposure
from serving.decision.thresholds import by_amount, decide

steps = st.lists(
    st.tuples(st.integers(-2_000, 20_000), st.integers(1, 400), st.booleans()), min_size=1, max_size=200
)  # fmt: skip


@given(steps, st.integers(0, 1_500))
def test_no_minute_approves_more_than_its_bound(payments: list[tuple[int, int, bool]], most: int) -> None:
    policy = Policy(
        challenge_at=0.1, review_at=0.2, decline_at=0.3, default_bands=(Band(300, "approve"), Band(None, "review")),
        lower_tier_approve_up_to_minor=200, lower_tier_exposure_per_minute_minor=most,
    )  # fmt: skip
    exposure, now_ms = Exposure(), 100 * MINUTE_MS
    approved: dict[int, int] = {}
    latest = 0
    for step_ms, amount, with_rules in payments:
        now_ms += step_ms
        spent = exposure.spent(now_ms)
        found = (
            decide(None, [], policy, amount, spent_minor=spent)
            if with_rules
            else by_amount(amount, policy, spent_minor=spent)
        )
        # What the bound forbids is challenged, never declined, and never milder than without a bound.
        free = decide(None, [], policy, amount) if with_rules else by_amount(amount, policy)
        assert found >= free
        if found is Decision.APPROVE:
            exposure.add(now_ms, amount)
            latest = max(latest, now_ms // MINUTE_MS)
            approved[latest] = approved.get(latest, 0) + amount
        else:
            assert found is free or found is Decision.CHALLENGE
        latest = max(latest, now_ms // MINUTE_MS)
    assert all(total <= most for total in approved.values())


def test_a_score_and_a_list_are_not_bounded() -> None:
    policy = Policy(challenge_at=0.1, review_at=0.2, decline_at=0.3, lower_tier_exposure_per_minute_minor=0)
    assert decide(0.01, [], policy, 10**9, spent_minor=10**12) is Decision.APPROVE
    assert decide(None, [], policy, 1, spent_minor=0) is Decision.CHALLENGE
    assert decide(None, [], policy, 1, spent_minor=0, listed="allow") is Decision.APPROVE


def test_a_clock_set_back_a_little_opens_no_minute_twice_one_set_back_far_does() -> None:
    exposure = Exposure()
    exposure.add(100 * MINUTE_MS, 5)
    assert exposure.spent(99 * MINUTE_MS) == 5
    assert exposure.spent(101 * MINUTE_MS) == 0
    exposure.add(101 * MINUTE_MS, 7)
    assert exposure.spent(50 * MINUTE_MS) == 0
