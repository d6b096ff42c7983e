"""QR swap: a sticker over the code at a busy till, and what customers pay goes to somebody else."""

from __future__ import annotations

import numpy as np

from training.simulator.rows import QR_STATIC, UPI, Rows, payments
from training.simulator.traffic.episodes import Cast, episodes, moment, none_of_it, usual_hours, whole_rupees
from training.simulator.typologies.shares import wanted
from training.simulator.typologies.tools import fresh_accounts

STORY = "qr swap"


def qr_swap(cast: Cast) -> Rows:
    """Customers of one store pay the usual amounts at the usual place to a new payee, until the store notices."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    told = episodes(cast, wanted(cast, STORY), 5, 28, rng, cast.world.first_day(STORY))
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    length_h = np.exp(rng.uniform(np.log(2.0), np.log(72.0), told.count))[e]
    late = (rng.random(n) * length_h / 24).astype(np.int64)
    time = moment(cast, day + late, usual_hours(n, rng))
    payer = people.active(told.count * 400, 0, rng).reshape(told.count, 400)
    city = people.city[payer[:, 0]]
    local = payer[e, rng.integers(0, 400, n)]
    another = payer[e, rng.integers(0, 400, n)]
    payer_here = np.where(people.city[local] == city[e], local, another)
    store = places.store(city, rng.random(told.count))[e]
    north, east = places.spot(store)
    told_place = rng.random(n) < 0.66
    paise = 19_000 * people.spend[payer_here] * places.price(store) * rng.lognormal(0.0, 0.85, n)
    receiver = fresh_accounts(cast, STORY, e, day, rng, rented=0.5)
    return cast.inside(
        payments(
            people, places, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 1_000, 3_000_000), rng, 0.2),
            payer=payer_here, payee=places.first_person + receiver, rail=UPI, channel=QR_STATIC, day=day, story=STORY,
            refused=np.zeros(n, np.int64),
            latitude=np.where(told_place, np.round(north + rng.normal(0, 0.004, n), 5), np.nan),
            longitude=np.where(told_place, np.round(east + rng.normal(0, 0.004, n), 5), np.nan),
        )
    )  # fmt: skip
