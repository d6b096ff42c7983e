"""Card testing: many stolen cards are tried with small amounts, and those that work pay for goods soon after."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import CARD, rented_address
from training.simulator.rows import CARD_RAIL, IN_APP, ONLINE, Rows, payments
from training.simulator.traffic.episodes import Cast, episodes, minutes_apart, moment, none_of_it, setbacks, usual_hours
from training.simulator.typologies.shares import wanted
from training.simulator.typologies.tools import burner, fresh_accounts

STORY = "card testing"
LOW, HIGH = 5, 20


def card_testing(cast: Cast) -> Rows:
    """Bursts at one or a few shops from accounts opened lately; careful rings change device and address often."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    told = episodes(cast, wanted(cast, STORY), LOW, HIGH, rng, cast.world.first_day(STORY))
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    craft = rng.random(told.count)[e]
    turn = np.where(craft < 0.45, 0, told.step // np.where(craft < 0.75, 4, 2))
    begins = moment(cast, told.day, usual_hours(told.count, rng))[e]
    cashing = told.last_steps(0.22) & (told.step > 0)
    pause = np.where(cashing, rng.integers(20, 150, n) * 60_000, 0)
    time = begins + minutes_apart(told, 0.4, 7.0, rng) + pause

    refused = rng.random(n) < np.where(cashing, 0.15, 0.34)
    hurt = setbacks(told, refused) if cast.world.adapts else np.zeros(n, np.int64)
    turn = turn + hurt // 3  # after three refusals the ring changes its device
    test = np.exp(rng.uniform(np.log(900), np.log(42_000), n)) * 0.8 ** np.minimum(hurt, 4)
    goods = np.exp(rng.normal(np.log(650_000), 0.8, n)) * 0.85 ** np.minimum(hurt, 4)
    victim = people.active(told.count * HIGH, 0, rng)[e * HIGH + told.step // np.where(craft < 0.5, 1, 2)]
    account = fresh_accounts(cast, STORY, e * 8 + turn % 8, day, rng, rented=0.35)
    shop = places.brand(rng.random(told.count * 4))[e * 4 + np.where(craft < 0.6, 0, told.step % 4)]
    small = places.newcomer(int(day[0]), people.city[account], rng)
    shop = np.where((rng.random(told.count) < 0.2)[e] & (places.opens_day(small) <= day), small, shop)
    goods_at = places.brand(rng.random(n))
    own_phone = people.phone(account, day, rng)
    return cast.inside(
        payments(
            people, places, rng, time=time,
            amount_minor=np.maximum(np.where(cashing, goods, test) // 100 * 100, 100).astype(np.int64),
            payer=account, payee=np.where(cashing, goods_at, shop), rail=CARD_RAIL,
            channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day, story=STORY,
            instrument=4 * victim + CARD,
            device=np.where(craft > 0.9, own_phone, burner(STORY, e * 64 + turn)),
            ip=np.where(craft < 0.55, rented_address(e * 7 + turn), people.address(account, rng)),
            refused=refused.astype(np.int64),
        )
    )  # fmt: skip
