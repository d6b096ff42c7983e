"""Collect request: a "refund" or "prize" that is a request for money, approved by the victim on the own phone."""

from __future__ import annotations

import numpy as np

from training.simulator.rows import COLLECT, P2P, UPI, Rows, payments
from training.simulator.traffic.episodes import Cast, episodes, moment, none_of_it, setbacks, whole_rupees
from training.simulator.typologies.shares import wanted
from training.simulator.typologies.tools import fresh_accounts

STORY = "collect request"
SCRIPT = np.array([49_900, 99_900, 150_000, 199_900, 299_900, 499_900, 1_000_000, 2_000_000])


def collect_request(cast: Cast) -> Rows:
    """A collector works through strangers for hours or days, then takes another name."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    told = episodes(cast, wanted(cast, STORY), 2, 13, rng, cast.world.first_day(STORY))
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    length_h = np.exp(rng.uniform(np.log(1.5), np.log(60.0), told.count))[e]
    hour = np.clip(rng.normal(14.0, 3.0, told.count), 8.0, 21.0)
    time = moment(cast, told.day, hour)[e] + (rng.random(n) * length_h * 3_600_000).astype(np.int64)
    hour_of_day = (time - cast.world.start_ms) // 3_600_000 % 24
    time = np.where((hour_of_day < 7) | (hour_of_day > 22), time + 9 * 3_600_000, time)
    refused = rng.random(n) < 0.08
    hurt = setbacks(told, refused) if cast.world.adapts else np.zeros(n, np.int64)
    scripted = SCRIPT[rng.integers(0, len(SCRIPT), told.count)[e]] * np.where(rng.random(n) < 0.25, 2, 1)
    free = whole_rupees(np.exp(rng.normal(np.log(240_000), 0.8, n)), rng)
    keeps_to_script = (rng.random(told.count) < 0.5)[e]
    amount = np.maximum(np.where(keeps_to_script, scripted, free) // (1 + hurt) // 100 * 100, 10_000)
    victims = people.active(3 * n, 0, rng).reshape(n, 3)
    older = np.argmax(people.age[victims], axis=1)  # the oldest of three: scripts work best on them
    victim = victims[np.arange(n), older]
    collector = fresh_accounts(cast, STORY, e * 4 + np.minimum(hurt // 2, 3), day, rng, rented=0.45)
    return cast.inside(
        payments(
            people, places, rng, time=time, amount_minor=amount, payer=victim,
            payee=places.first_person + collector, rail=UPI,
            channel=np.where(rng.random(n) < 0.78, COLLECT, P2P), day=day, story=STORY,
            refused=refused.astype(np.int64),
        )
    )  # fmt: skip
