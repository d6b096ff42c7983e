"""Declines of one party never open a breaker, those of many unrelated parties do, and memory does not grow."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.domain.payment import Payment
from serving.decision import concentration
from serving.decision.breaker import LEAST_PAYMENTS, SLOT_MS, SLOTS, Breakers
from serving.decision.concentration import (
    CELLS,
    FEWEST_SAMPLES,
    LARGEST_SHARE,
    LEAST,
    SAMPLES,
    Concentration,
    UsualParties,
    digest_of,
    parties_of,
)

START_MS = 1_794_355_200_000
KINDS = (*concentration.OWN, *concentration.SHARED)
NAMES = itertools.count()


def paid(**parties: str | None) -> Payment:
    """A payment whose parties no other payment has, but for those named here."""
    one = next(NAMES)
    fields: dict[str, Any] = {kind: f"{kind}-{one}" for kind in KINDS} | parties
    return Payment(
        transaction_id=f"t-{one}", event_time_ms=START_MS, amount_minor=1, currency="INR", rail="upi", channel="online",
        **fields,
    )  # fmt: skip


def settled(**parties: str | None) -> tuple[Breakers, int]:
    """Breakers after ten minutes of usual payments of different parties, 0.5 % of them declined; the moment after."""
    breakers, now = Breakers(("model", "rule"), {"model": 0.005, "rule": 0.005}), START_MS
    for place in range(3 * LEAST_PAYMENTS):
        now += 200
        breakers.observe(now, ("model", "rule") if place % 200 == 199 else (), paid(**parties))
    assert breakers.open == ()
    return breakers, now


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every_ms", [0, 7, 900])
def test_no_number_of_declines_of_one_party_opens_it(kind: str, every_ms: int) -> None:
    breakers, now = settled()
    for place in range(2_000):
        now += every_ms
        breakers.observe(now, ("model",), paid(**{kind: "evil"}))
        breakers.observe(now, ("model",) if place % 200 == 0 else (), paid())
        assert breakers.open == (), place
    assert breakers.trips == 0


def test_the_same_number_of_declines_of_unrelated_parties_opens_it() -> None:
    breakers, now = settled()
    for _ in range(40):
        breakers.observe(now, ("model",), paid())
    assert breakers.open == ("model",)


def apart(kind: str, count: int) -> list[str]:
    """So many parties in cells of their own: a collision would make two of them one."""
    by_cell: dict[int, str] = {}
    for number in itertools.count():
        name = f"{kind}-evil-{number}"
        by_cell.setdefault(digest_of(name) % CELLS, name)
        if len(by_cell) == count:
            return list(by_cell.values())
    raise AssertionError


def test_ten_attackers_are_many_parties_and_nine_are_not() -> None:
    """The border of the bound: thirty declines must be of at least ten devices, payers and so on."""
    for attackers, opened in ((9, ()), (10, ("model",))):
        breakers, now = settled()
        now += 3 * SLOTS * SLOT_MS  # what the usual declines left behind has gone
        for payments in range(3):
            breakers.observe(now + payments * SLOTS * SLOT_MS, (), paid())
        now += 3 * SLOTS * SLOT_MS
        evil = {kind: apart(kind, attackers) for kind in KINDS}
        for place in range(30 * attackers):
            breakers.observe(now, ("model",), paid(**{kind: evil[kind][place % attackers] for kind in KINDS}))
        assert breakers.open == opened


def test_an_attack_on_a_model_that_goes_wrong_does_not_hide_it() -> None:
    breakers, now = settled()
    for place in range(900):
        now += 10
        evil = place % 3 == 0
        breakers.observe(now, ("model",) if evil or place % 9 == 1 else (), paid(device_id="evil") if evil else paid())
    assert breakers.open == ("model",)


@pytest.mark.parametrize("kind", concentration.SHARED)
def test_the_only_shop_and_the_only_gateway_of_a_deployment_hide_no_model_that_goes_wrong(kind: str) -> None:
    breakers, now = settled(**{kind: "everybody's"})
    for _ in range(40):
        breakers.observe(now, ("model",), paid(**{kind: "everybody's"}))
    assert breakers.open == ("model",)


@pytest.mark.parametrize("kind", concentration.SHARED)
def test_what_is_declined_never_becomes_usual(kind: str) -> None:
    usual = UsualParties()
    for _ in range(SAMPLES):
        usual.add(paid())
    breakers, now = settled()
    for _ in range(3_000):  # ten minutes of an attack, five times the payments of all others
        now += 200
        for _ in range(5):
            breakers.observe(now, ("model",), paid(**{kind: "evil"}))
        breakers.observe(now, (), paid())
    assert breakers._usual_parties.share(kind, digest_of("evil")) == 0.0
    assert breakers.trips == 0


def test_a_share_is_never_of_a_few_samples() -> None:
    usual = UsualParties()
    assert usual.share("payee_id", digest_of("shop")) == 0.0
    usual.add(paid(payee_id="shop"))
    assert usual.share("payee_id", digest_of("shop")) == 1 / FEWEST_SAMPLES
    for _ in range(2 * SAMPLES):
        usual.add(paid(payee_id="shop"))
    assert usual.share("payee_id", digest_of("shop")) == 1.0


def test_a_party_that_was_not_sent_is_no_party() -> None:
    breakers, now = settled()
    for _ in range(40):
        breakers.observe(now, ("model",), paid(device_id=None, ip=None))
    assert breakers.open == ("model",)


def test_who_held_many_declines_counts_again_two_minutes_later() -> None:
    one = Concentration(UsualParties())
    evil = [paid(device_id="evil") for _ in range(10)]
    assert [one.counts(parties_of(payment)) for payment in evil] == [True] * LEAST + [False] * (10 - LEAST)
    one.next_minute()
    assert not one.counts(parties_of(evil[0]))
    one.next_minute()
    assert one.counts(parties_of(evil[0]))


def streams() -> st.SearchStrategy[list[dict[str, str | None]]]:
    party = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", None])
    own = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])
    kinds = {kind: party if kind in ("device_id", "ip") else own for kind in KINDS}
    return st.lists(st.fixed_dictionaries(kinds), max_size=200)


@settings(max_examples=60)
@given(streams())
def test_no_party_ever_holds_more_than_its_bound(stream: list[dict[str, str | None]]) -> None:
    """Against an exact count: cells that parties share may only lower what is counted."""
    one, held, total = Concentration(UsualParties()), Counter[tuple[str, str]](), 0
    for parties in stream:
        own = [(kind, party) for kind, party in parties.items() if party is not None]
        if one.counts(parties_of(paid(**parties))):
            total += 1
            held.update(own)
        else:
            continue
        for name in own:
            assert held[name] <= max(LEAST, LARGEST_SHARE * total + 1)


def test_memory_is_bounded_and_a_flood_of_names_still_counts() -> None:
    one = Concentration(UsualParties())
    counted = sum(one.counts(parties_of(paid())) for _ in range(50_000))
    assert counted > 49_900
    assert len(one._now) == len(one._before) == len(KINDS) * concentration.CELLS
    one.next_minute()
    assert len(one._now) == len(one._before) == len(KINDS) * concentration.CELLS


def zipf(count: int, seed: int) -> Iterator[dict[str, str | None]]:
    """Parties as they come: a few shops and networks have much of the traffic, payers and devices hardly repeat."""
    random = np.random.default_rng(seed)
    shops, networks = random.zipf(1.3, count) % 500, random.zipf(1.2, count) % 300
    for shop, network in zip(shops.tolist(), networks.tolist(), strict=True):
        yield {"payee_id": f"shop-{shop}", "ip": f"10.0.0.{network}"}


def test_a_model_gone_wrong_is_seen_through_the_few_shops_that_have_most_payments() -> None:
    breakers, now = Breakers(("model",), {"model": 0.004}), START_MS
    for place, parties in enumerate(zipf(6_000, 3)):
        now += 100
        breakers.observe(now, ("model",) if place % 250 == 0 else (), paid(**parties))
    assert breakers.open == ()
    for place, parties in enumerate(zipf(600, 4)):
        now += 100
        breakers.observe(now, ("model",) if place % 5 == 0 else (), paid(**parties))
    assert breakers.open == ("model",)
