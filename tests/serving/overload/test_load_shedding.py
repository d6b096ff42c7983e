"""Tiers only fall with load; of two payments at the same moment the dearer never gets the worse one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.catalogue import catalogue
from features.domain.money import LARGEST_AMOUNT_MINOR, reference_weights
from features.intake.parse import payment_from, payment_json
from serving.decision.evaluator import FULL
from serving.overload.load_shedding import LADDER, REFUSED, AmountRanks, RequestPeek, bucket, tier_for
from tests.serving.scoring_world import payment

KNOWN = catalogue()
millis = st.floats(0, 500)
deadlines = st.integers(1, 5_000)
ranks = st.floats(0, 1)
moneys = st.integers(0, LARGEST_AMOUNT_MINOR)


def place(tier: str) -> int:
    return LADDER.index(tier)


@given(millis, millis, millis, deadlines, ranks)
def test_more_work_before_it_never_gives_a_better_tier(
    work: float, more: float, age: float, deadline: int, rank: float
) -> None:
    assert place(tier_for(work, age, deadline, rank)) <= place(tier_for(work + more, age, deadline, rank))


@given(millis, millis, millis, deadlines, ranks)
def test_an_older_payment_never_gets_a_better_tier(
    work: float, more: float, age: float, deadline: int, rank: float
) -> None:
    assert place(tier_for(work, age, deadline, rank)) <= place(tier_for(work, age + more, deadline, rank))


@given(millis, millis, deadlines, st.lists(moneys, min_size=1, max_size=300), moneys, moneys)
def test_the_dearer_never_gets_the_worse_tier_at_the_same_moment(
    work: float, age: float, deadline: int, past: list[int], one: int, other: int
) -> None:
    known = AmountRanks()
    for money in past:
        known.learn(money)
    cheap, dear = sorted((one, other))
    assert place(tier_for(work, age, deadline, known.rank(dear))) <= place(
        tier_for(work, age, deadline, known.rank(cheap))
    )


@given(st.floats(0, 2_000), deadlines, ranks)
def test_nobody_is_refused_for_age_alone(age: float, deadline: int, rank: float) -> None:
    assert tier_for(0.0, age, deadline, rank) != REFUSED


@given(deadlines, ranks)
def test_without_load_everybody_gets_the_full_tier(deadline: int, rank: float) -> None:
    assert tier_for(0.0, 0.0, deadline, rank) == FULL


@given(st.lists(moneys, min_size=20, max_size=2_000))
def test_ranks_are_shares_and_rise_with_money(past: list[int]) -> None:
    known = AmountRanks()
    for money in past:
        known.learn(money)
    found = [known.rank(money) for money in sorted(past)]
    assert found == sorted(found)
    assert all(0.0 <= rank <= 1.0 for rank in found)


@given(moneys, moneys)
def test_buckets_rise_with_money(one: int, other: int) -> None:
    assert bucket(min(one, other)) <= bucket(max(one, other))


def test_the_ranks_of_usual_amounts_are_their_quantiles_and_old_ones_fade() -> None:
    known = AmountRanks()
    for money in np.random.default_rng(1).permutation(np.arange(1, 4_097)).tolist():
        known.learn(money * 100)
    assert abs(known.rank(204_800) - 0.5) < 0.06
    for _ in range(20_000):
        known.learn(10_000_000)
    assert known.rank(409_600) < 0.05


@given(st.integers(1, 10**11), st.sampled_from(["INR", "USD", "JPY"]), st.sampled_from(["pos", "online"]),
       st.one_of(st.none(), st.integers(1, 5_000)))  # fmt: skip
def test_the_peek_reads_what_the_parser_reads(amount: int, currency: str, channel: str, deadline: int | None) -> None:
    fields = payment(
        "t", amount_minor=amount, currency=currency, channel=channel, deadline_ms=deadline, attributes=None
    )
    parsed = payment_from(fields, KNOWN)
    read = RequestPeek(reference_weights("INR"), {"online": 2.0}).read(payment_json(parsed))
    weight = {"INR": 1.0, "USD": 85.0, "JPY": 85 / 150 * 100}[currency] * {"pos": 1.0, "online": 2.0}[channel]
    assert abs(read.money - amount * weight) <= 2 + 1e-9 * amount * weight
    assert read.deadline_ms == parsed.deadline_ms


@given(st.binary(max_size=300))
def test_the_peek_survives_anything(body: bytes) -> None:
    read = RequestPeek(reference_weights("INR"), {"pos": 0.5}).read(body)
    assert read.money >= 0


def test_a_name_inside_a_text_is_not_an_amount() -> None:
    body = rb'{"payer_id": "\"amount_minor\": 99999999", "amount_minor": 5}'
    assert RequestPeek(reference_weights("INR"), {}).read(body).money == 5


@given(millis, millis, deadlines, ranks)
def test_a_standing_queue_never_gives_a_better_tier(work: float, age: float, deadline: int, rank: float) -> None:
    assert place(tier_for(work, age, deadline, rank)) <= place(tier_for(work, age, deadline, rank, standing=True))


def test_a_currency_without_a_weight_ranks_like_the_reference_currency_and_case_does_not_matter() -> None:
    peek = RequestPeek(reference_weights("INR"), {})
    assert peek.read(b'{"amount_minor": 7, "currency": "USDT"}').money == 7
    assert peek.read(b'{"amount_minor": 7, "currency": "XXQ"}').money == 7
    assert peek.read(b'{"amount_minor": 7, "currency": "usd"}').money == 7 * 85
