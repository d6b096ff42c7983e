"""Account takeover: somebody else has the account and empties it before the owner notices."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.merchants import CITIES
from training.simulator.parties.payers import rented_address
from training.simulator.rows import COLLECT, IN_APP, P2P, UPI, WALLET_RAIL, Rows, payments
from training.simulator.traffic.episodes import (
    Cast,
    episodes,
    minutes_apart,
    moment,
    none_of_it,
    setbacks,
    usual_hours,
    whole_rupees,
)
from training.simulator.typologies.shares import wanted
from training.simulator.typologies.tools import burner, mules

STORY = "account takeover"


def account_takeover(cast: Cast) -> Rows:
    """One to six growing payments from a strange device and place; some thieves hold the phone itself, some wait."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    told = episodes(cast, wanted(cast, STORY), 1, 6, rng, cast.world.first_day(STORY))
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    victim = people.active(told.count, 0, rng)[e]
    way, patience = rng.random(told.count)[e], rng.random(told.count)[e]
    hour = np.where(rng.random(told.count) < 0.3, rng.uniform(0.0, 6.0, told.count), usual_hours(told.count, rng))
    quick, slow = minutes_apart(told, 1.0, 14.0, rng), minutes_apart(told, 200.0, 1_500.0, rng)
    time = moment(cast, told.day, hour)[e] + np.where(patience < 0.75, quick, slow)

    refused = rng.random(n) < 0.14
    hurt = setbacks(told, refused) if cast.world.adapts else np.zeros(n, np.int64)
    drained = np.exp(rng.normal(np.log(520_000), 0.9, told.count))[e] * rng.lognormal(0.0, 0.3, n)
    paise = drained * (0.35 + 0.3 * told.step) * 0.6**hurt
    away = rng.integers(0, len(CITIES), told.count)[e]
    receiver = places.first_person + mules(cast, STORY, rng.integers(0, 64, told.count)[e] + hurt, day, 5, rng)
    shop = rng.random(n) < 0.28
    own = people.phone(victim, day, rng)
    device = np.where(way < 0.70, burner(STORY, e * 16 + hurt), own)
    network = 0x64400000 + away * 4096 + rng.integers(0, 1500, n)
    ip = np.select([way < 0.35, way < 0.60], [rented_address(e + hurt), network], people.address(victim, rng))
    far = (way < 0.6) & (rng.random(n) < 0.5)
    spot = CITIES[away, :2] + rng.normal(0.0, 0.05, (n, 2))
    return cast.inside(
        payments(
            people, places, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 20_000, 20_000_000), rng),
            payer=victim, payee=np.where(shop, places.brand(rng.random(n)), receiver),
            rail=np.where(shop & people.has_wallet[victim], WALLET_RAIL, UPI),
            channel=np.where(shop, IN_APP, np.where(rng.random(n) < 0.08, COLLECT, P2P)), day=day, story=STORY,
            device=device, ip=ip, refused=refused.astype(np.int64),
            latitude=np.where(far, np.round(spot[:, 0], 5), np.nan),
            longitude=np.where(far, np.round(spot[:, 1], 5), np.nan),
        )
    )  # fmt: skip
