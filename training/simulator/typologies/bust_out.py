"""Bust-out merchant: a small merchant trades honestly for weeks, then charges large sums for days and vanishes."""

from __future__ import annotations

import numpy as np

from training.data.arrays import Integers
from training.simulator.parties.payers import CARD
from training.simulator.random_streams import share_of
from training.simulator.rows import CARD_RAIL, IN_APP, ONLINE, QR_STATIC, UPI, Rows, joined, payments
from training.simulator.traffic.episodes import Cast, Episodes, episodes, moment, none_of_it, usual_hours, whole_rupees
from training.simulator.typologies.shares import wanted
from training.simulator.typologies.tools import burner, fresh_accounts

STORY = "bust-out merchant"
FOR_YEARS = -(1 << 30)
LEAST_DAYS, MOST_DAYS = 10, 40
BOUGHT = 0.4
"""Share of the merchants that were bought with an honest past of years."""


def registered_days(cast: Cast) -> Integers:
    """For each fraudulent merchant the day of the world on which it was registered; FOR_YEARS: long before."""
    turns = _told(cast, cast.stream(STORY)).day[: cast.places.rogues]
    number = np.arange(len(turns))
    early = 1 + (share_of(number, f"{cast.world.seed}/early") * 12).astype(np.int64)
    days = np.full(cast.places.rogues, FOR_YEARS)
    bought = share_of(number, f"{cast.world.seed}/bought") < BOUGHT
    days[: len(turns)] = np.where(bought, FOR_YEARS, turns - _honest_days(cast, len(turns)) - early)
    return days


def _told(cast: Cast, rng: np.random.Generator) -> Episodes:
    return episodes(cast, wanted(cast, STORY), 12, 45, rng, cast.world.first_day(STORY))


def _honest_days(cast: Cast, count: int) -> Integers:
    draw = share_of(np.arange(count), f"{cast.world.seed}/honest days")
    return np.asarray(LEAST_DAYS + (draw * (MOST_DAYS - LEAST_DAYS)).astype(np.int64), np.int64)


def bust_out(cast: Cast) -> Rows:
    """Weeks of small honest trade, then stolen and borrowed cards at once."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    told = _told(cast, rng)
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    merchant = places.first_rogue + np.arange(told.count) % places.rogues
    length_h = rng.uniform(10.0, 150.0, told.count)[e]
    time = moment(cast, told.day, rng.uniform(8.0, 20.0, told.count))[e]
    time = time + (rng.random(n) * length_h * 3_600_000).astype(np.int64)
    victim = people.active(n, 0, rng)
    on_card = rng.random(n) < 0.7
    known = people.active(told.count * 12, 0, rng)[e * 12 + rng.integers(0, 12, n)]  # friends of the merchant
    crew = fresh_accounts(cast, STORY, e * 16 + rng.integers(0, 16, n), day, rng, rented=0.5)
    payer = np.where(rng.random(n) < 0.45, crew, known)
    paise = np.exp(rng.normal(np.log(620_000), 0.75, told.count))[e] * rng.lognormal(0.0, 0.5, n)
    stolen = on_card & (rng.random(n) < 0.6)
    burst = payments(
        people, places, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 60_000, 20_000_000), rng, 0.25),
        payer=payer, payee=merchant[e], rail=np.where(on_card, CARD_RAIL, UPI),
        channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day, story=STORY,
        instrument=np.where(stolen, 4 * victim + CARD, 4 * payer + np.where(on_card, CARD, 0)),
        device=np.where(rng.random(n) < 0.3, burner(STORY, e * 8 + rng.integers(0, 8, n)),
                        people.phone(payer, day, rng)),
        refused=(rng.random(n) < 0.12).astype(np.int64),
    )  # fmt: skip
    return cast.inside(joined([burst, _honest_trade(cast, told, merchant, rng)]))


def _honest_trade(cast: Cast, told: Episodes, merchant: Integers, rng: np.random.Generator) -> Rows:
    """What looks like, and is, an ordinary small shop in the weeks before."""
    people, places = cast.people, cast.places
    weeks = _honest_days(cast, told.count)
    sales = weeks * rng.integers(1, 4, told.count)
    e = np.repeat(np.arange(told.count), sales)
    n = len(e)
    day = told.day[e] - 1 - (rng.random(n) * weeks[e]).astype(np.int64)
    payer = people.active(n, 0, rng)
    paise = 40_000 * places.price(merchant[e]) * rng.lognormal(0.0, 0.9, n)
    remote = rng.random(n) < 0.4
    return payments(
        people, places, rng, time=moment(cast, day, usual_hours(n, rng)),
        amount_minor=whole_rupees(np.clip(paise, 2_000, 5_000_000), rng), payer=payer, payee=merchant[e], rail=UPI,
        channel=np.where(remote, IN_APP, QR_STATIC), day=day,
    )  # fmt: skip
