"""Promotion abuse: farms of phones and accounts take the coupons of a sale in its first hours."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import rented_address
from training.simulator.rows import IN_APP, UPI, WALLET_RAIL, Rows, payments
from training.simulator.traffic.episodes import Cast, episodes, moment, none_of_it, setbacks
from training.simulator.typologies.shares import SHARES, wanted
from training.simulator.typologies.tools import burner, fresh_accounts

STORY = "promotion abuse"


def promotion_abuse(cast: Cast) -> Rows:
    """Each farm pays just above what a coupon asks for, at a few brands, with accounts that share phones."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    first = cast.world.first_day(STORY)
    weights = np.where(cast.year.sale > 0, cast.year.usual * (0.4 + cast.year.sale), 0.03 * cast.year.usual)
    # most of it is for the sales; on ordinary days there is a coupon now and then
    n_wanted = min(wanted(cast, STORY), float(weights[first:].sum()) * cast.world.fraud_share * SHARES[STORY] * 15)
    told = episodes(cast, n_wanted, 10, 40, rng, first, weights)
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    craft = rng.random(told.count)[e]
    sale = cast.year.sale[told.day] > 0
    begins = np.where(sale, rng.exponential(1.2, told.count), rng.uniform(9.0, 22.0, told.count))
    length_h = rng.uniform(0.3, 5.0, told.count)[e]
    time = moment(cast, told.day, np.minimum(begins, 22.0))[e] + (rng.random(n) * length_h * 3_600_000).astype(np.int64)
    order = np.lexsort((time, e))
    time = time[order]  # e is sorted already, so only times change places inside their episode
    refused = rng.random(n) < 0.10
    hurt = setbacks(told, refused) if cast.world.adapts else np.zeros(n, np.int64)
    per_phone = np.where(craft < 0.5, 5, 2)
    account = fresh_accounts(cast, STORY, e * 64 + told.step // np.where(craft < 0.3, 1, 3), day, rng, rented=0.25)
    phone = burner(STORY, e * 64 + told.step // per_phone)
    coupon = np.array([29_900, 49_900, 79_900, 99_900, 199_900])[rng.integers(0, 5, told.count)][e]
    amount = coupon + (rng.exponential(9_000, n) // 100 * 100).astype(np.int64) + 4_000 * hurt
    brand = places.brand(rng.random(told.count * 3))[e * 3 + rng.integers(0, 3, n)]
    return cast.inside(
        payments(
            people, places, rng, time=time, amount_minor=amount, payer=account, payee=brand,
            rail=np.where(rng.random(n) < 0.5, WALLET_RAIL, UPI), channel=IN_APP, day=day, story=STORY,
            device=np.where(craft > 0.85, people.phone(account, day, rng), phone),
            ip=np.where(craft < 0.5, rented_address(e * 5 + told.step // 12), people.address(account, rng)),
            refused=refused.astype(np.int64),
        )
    )  # fmt: skip
