"""Stolen card: card data bought abroad pay international brands until the issuer or the owner notices."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import CARD, address_abroad, rented_address
from training.simulator.rows import CARD_RAIL, IN_APP, ONLINE, Rows, in_currency, payments
from training.simulator.traffic.episodes import Cast, episodes, minutes_apart, moment, none_of_it, setbacks
from training.simulator.typologies.shares import wanted
from training.simulator.typologies.tools import burner, fresh_accounts

STORY = "stolen card"


def stolen_card(cast: Cast) -> Rows:
    """One to six purchases, from the victim's own account or from one that collects stolen cards."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    told = episodes(cast, wanted(cast, STORY), 1, 6, rng, cast.world.first_day(STORY))
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    crew = rng.integers(0, 10, told.count)[e] + 10 * (day // 12)
    victim = people.active(told.count, 0, rng)[e]
    own_account = (rng.random(told.count) < 0.55)[e]
    way = rng.random(told.count)[e]
    quick, slow = minutes_apart(told, 3.0, 50.0, rng), minutes_apart(told, 120.0, 900.0, rng)
    time = moment(cast, told.day, rng.uniform(0.0, 24.0, told.count))[e] + np.where(way < 0.6, quick, slow)
    refused = rng.random(n) < 0.22
    hurt = setbacks(told, refused) if cast.world.adapts else np.zeros(n, np.int64)
    paise = np.exp(rng.normal(np.log(900_000), 0.85, n)) * 0.7**hurt
    payee = places.brand_abroad(rng.random(n))
    at_home = rng.random(n) < 0.12
    payee = np.where(at_home, places.brand(rng.random(n)), payee)
    currency = np.where(rng.random(n) < 0.65, places.country(payee), 0)
    account = np.where(own_account, victim, fresh_accounts(cast, STORY, crew, day, rng, rented=0.3))
    device = np.where(way < 0.8, burner(STORY, np.where(own_account, e, 1_000_000 + crew) * 8 + hurt),
                      people.phone(account, day, rng))  # fmt: skip
    ip = np.select(
        [way < 0.35, way < 0.6], [rented_address(crew * 3 + hurt), address_abroad(1 + crew % 6, rng)],
        people.address(account, rng),
    )  # fmt: skip
    return cast.inside(
        payments(
            people, places, rng, time=time, amount_minor=in_currency(np.clip(paise, 30_000, 30_000_000), currency),
            payer=account, payee=payee, rail=CARD_RAIL, channel=np.where(rng.random(n) < 0.4, IN_APP, ONLINE),
            day=day, story=STORY, instrument=4 * victim + CARD, device=device, ip=ip, currency=currency,
            refused=refused.astype(np.int64),
        )
    )  # fmt: skip
