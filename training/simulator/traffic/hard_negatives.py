"""Honest occasions that look like fraud: what the stories must not be told apart from too easily.

Fees are collected from forty parents, staff is paid within an hour, a new phone is followed by a large purchase,
a shop opens with a queue, a stall has its fair, an agent serves a village on one phone, a game sells coins for
ten rupees at a time, a shopping evening abroad is done through a private network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.data.arrays import Integers
from training.simulator.parties.payers import CARD, rented_address
from training.simulator.rows import (
    CARD_RAIL,
    COLLECT,
    IN_APP,
    ONLINE,
    P2P,
    QR_STATIC,
    UPI,
    WALLET_RAIL,
    Rows,
    by_time,
    in_currency,
    joined,
    payments,
)
from training.simulator.traffic.episodes import (
    Cast,
    Episodes,
    episodes,
    minutes_apart,
    moment,
    usual_hours,
    whole_rupees,
)
from training.simulator.traffic.honest import KIOSKS, KIOSKS_PER_CITY, NEW_PHONES

OCCASION_SHARE = 0.035
"""Of all payments."""

Occasion = Callable[[Cast, Episodes, np.random.Generator], Rows]


def occasions(cast: Cast) -> Rows:
    """All occasions of the world, in order of time."""
    parts = []
    for name, (share, low, high, tell) in OCCASIONS.items():
        rng = cast.stream(f"occasion {name}")
        told = episodes(cast, OCCASION_SHARE * share * float(cast.year.usual.sum()), low, high, rng)
        if len(told):
            parts.append(tell(cast, told, rng))
    return by_time(cast.inside(joined(parts)))


def _collection(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """School trips, weddings, housing societies: many pay one person the same amount within hours or days."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(n, 0, rng)
    organiser = cast.people.active(told.count, 0, rng)[e]
    length_h = np.exp(rng.uniform(0.5, 4.2, told.count))[e]
    late = (rng.random(n) * length_h / 24).astype(np.int64)
    fee = np.exp(rng.normal(np.log(110_000), 0.9, told.count))[e] // 5_000 * 5_000 + 5_000
    amount = np.where(rng.random(n) < 0.75, fee, fee * rng.integers(2, 4, n)).astype(np.int64)
    return payments(
        cast.people, cast.places, rng, time=moment(cast, day + late, usual_hours(n, rng)), amount_minor=amount,
        payer=payer, payee=cast.places.first_person + organiser, rail=UPI,
        channel=np.where((rng.random(told.count) < 0.45)[e], COLLECT, P2P), day=day,
    )  # fmt: skip


def _wages(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """Staff, tutors and cooks are paid one after another; gifts go out to the whole family."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(told.count, 0, rng)[e]
    known = rng.random(n) < 0.6
    payee = np.where(known, cast.people.relative(payer, rng), cast.people.active(n, 0, rng))
    time = moment(cast, told.day, usual_hours(told.count, rng))[e] + minutes_apart(told, 0.5, 25.0, rng)
    paise = np.exp(rng.normal(np.log(430_000), 0.8, told.count))[e] * rng.lognormal(0.0, 0.5, n)
    return payments(
        cast.people, cast.places, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 10_000, 9e6), rng, 0.6),
        payer=payer, payee=cast.places.first_person + payee, rail=UPI, channel=P2P, day=day,
    )  # fmt: skip


def _new_phone(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """A phone nobody knows, perhaps on a journey, and then something large that one has never bought before."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(told.count, 0, rng)[e]
    time = moment(cast, told.day, usual_hours(told.count, rng))[e] + minutes_apart(told, 1.0, 60.0, rng)
    paise = np.exp(rng.normal(np.log(360_000), 1.0, told.count))[e] * rng.lognormal(0.0, 0.6, n)
    shop = rng.random(n) < 0.55
    person = cast.places.first_person + cast.people.active(n, 0, rng)
    device = NEW_PHONES + 4 * payer + day % 4
    network = 0x64400000 + rng.integers(0, 10, told.count)[e] * 4096 + rng.integers(0, 1500, n)
    return payments(
        cast.people, cast.places, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 5_000, 2e7), rng),
        payer=payer, payee=np.where(shop, cast.places.brand(rng.random(n)), person), rail=UPI,
        channel=np.where(shop, IN_APP, P2P), day=day, device=device, ip=network,
    )  # fmt: skip


def _coins(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """Games, tickets and top-ups: small payments in quick order, some of them declined and tried again."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(told.count, 0, rng)[e]
    shop = cast.places.brand(rng.random(told.count))[e]
    card = (rng.random(told.count) < 0.6)[e]
    amount = np.exp(rng.uniform(np.log(900), np.log(50_000), n)) // 100 * 100
    time = moment(cast, told.day, usual_hours(told.count, rng))[e] + minutes_apart(told, 0.3, 6.0, rng)
    return payments(
        cast.people, cast.places, rng, time=time, amount_minor=np.maximum(amount, 100).astype(np.int64), payer=payer,
        payee=shop, rail=np.where(card, CARD_RAIL, WALLET_RAIL), channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE),
        day=day, refused=(rng.random(n) < 0.14).astype(np.int64),
    )  # fmt: skip


def _opening(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """A queue at a shop on its first days; the code at the till may be the owner's private one."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(n, 0, rng)
    city = cast.people.city[payer[np.arange(n) - told.step]]
    slot = rng.integers(0, 1 << 20, told.count)[e] % max(cast.places.new_per_day // 10, 1) * 10 + city
    shop = cast.places.first_new + day * cast.places.new_per_day + np.minimum(slot, cast.places.new_per_day - 1)
    owner = cast.places.first_person + cast.people.active(told.count, 0, rng)[e]
    private = (rng.random(told.count) < 0.4)[e]
    late = (rng.random(n) * rng.integers(1, 6, told.count)[e]).astype(np.int64)
    paise = 18_000 * cast.people.spend[payer] * cast.places.price(shop) * rng.lognormal(0.0, 0.9, n)
    return payments(
        cast.people, cast.places, rng, time=moment(cast, day + late, usual_hours(n, rng)),
        amount_minor=whole_rupees(np.clip(paise, 1_000, 3e6), rng, 0.25), payer=payer,
        payee=np.where(private, owner, shop), rail=UPI, channel=QR_STATIC, day=day,
    )  # fmt: skip


def _fair(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """A young shop sells more in two days than in the month before: a fair, a video that everybody has seen."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(n, 0, rng)
    age = rng.integers(8, 60, told.count)[e]
    opened = np.maximum(day - age, 0)
    slot = rng.integers(0, 1 << 20, told.count)[e] % cast.places.new_per_day
    shop = cast.places.first_new + opened * cast.places.new_per_day + slot
    paise = np.exp(rng.normal(np.log(330_000), 0.8, told.count))[e] * rng.lognormal(0.0, 0.6, n)
    late = (rng.random(n) * rng.integers(1, 4, told.count)[e]).astype(np.int64)
    card = rng.random(n) < 0.5
    return payments(
        cast.people, cast.places, rng, time=moment(cast, day + late, usual_hours(n, rng)),
        amount_minor=whole_rupees(np.clip(paise, 10_000, 1.5e7), rng, 0.25), payer=payer, payee=shop,
        rail=np.where(card, CARD_RAIL, UPI), channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day,
    )  # fmt: skip


def _agent(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """People without a phone of their own send money, or buy for a sale, at an agent's counter."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(n, 0, rng)
    kiosk = KIOSKS + rng.integers(0, 10 * KIOSKS_PER_CITY, told.count)[e]
    time = moment(cast, told.day, usual_hours(told.count, rng))[e] + minutes_apart(told, 1.0, 15.0, rng)
    shop = rng.random(n) < 0.4
    payee = np.where(
        shop, cast.places.brand(rng.random(n)), cast.places.first_person + cast.people.relative(payer, rng)
    )
    paise = np.exp(rng.normal(np.log(150_000), 0.9, n))
    return payments(
        cast.people, cast.places, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 5_000, 5e6), rng, 0.5),
        payer=payer, payee=payee, rail=np.where(shop & (rng.random(n) < 0.5), WALLET_RAIL, UPI),
        channel=np.where(shop, IN_APP, P2P), day=day, device=kiosk,
        ip=0x5D000000 + rng.integers(0, 10 * KIOSKS_PER_CITY, told.count)[e],
    )  # fmt: skip


def _abroad_evening(cast: Cast, told: Episodes, rng: np.random.Generator) -> Rows:
    """Foreign brands in one evening: presents, flights, a new laptop; some through a private network."""
    n, e, day = len(told), told.episode, told.day[told.episode]
    payer = cast.people.active(told.count, 0, rng)[e]
    payee = cast.places.brand_abroad(rng.random(n))
    currency = np.where(rng.random(n) < 0.65, cast.places.country(payee), 0)
    paise = np.exp(rng.normal(np.log(520_000), 0.9, n))
    private = (rng.random(told.count) < 0.3)[e]
    time = moment(cast, told.day, usual_hours(told.count, rng))[e] + minutes_apart(told, 3.0, 60.0, rng)
    own = cast.people.phone(payer, day, rng)
    return payments(
        cast.people, cast.places, rng, time=time, amount_minor=in_currency(np.clip(paise, 20_000, 2e7), currency),
        payer=payer, payee=payee, rail=CARD_RAIL, channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day,
        instrument=4 * payer + CARD, currency=currency,
        device=np.where((rng.random(told.count) < 0.3)[e], NEW_PHONES + 4 * payer + 2, own),
        ip=np.where(private, rented_address(_whole(rng, n)), cast.people.address(payer, rng)),
        refused=(rng.random(n) < 0.07).astype(np.int64),
    )  # fmt: skip


def _whole(rng: np.random.Generator, n: int) -> Integers:
    return np.asarray(rng.integers(0, 3_000, n), np.int64)


OCCASIONS: dict[str, tuple[float, int, int, Occasion]] = {
    "collection": (0.16, 3, 30, _collection),
    "wages": (0.16, 3, 16, _wages),
    "new phone": (0.16, 1, 4, _new_phone),
    "coins": (0.14, 4, 16, _coins),
    "opening": (0.12, 8, 40, _opening),
    "fair": (0.08, 10, 40, _fair),
    "agent": (0.09, 4, 20, _agent),
    "abroad evening": (0.09, 1, 5, _abroad_evening),
}
"""Share of the occasions, fewest and most payments of one, and who tells it."""
