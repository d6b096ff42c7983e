"""Friendly fraud: the payer bought it, has it, and disputes it. At the moment of payment nothing is unusual."""

from __future__ import annotations

import numpy as np

from training.data.arrays import Integers
from training.simulator.random_streams import share_of
from training.simulator.rows import Rows, by_time, joined
from training.simulator.traffic.episodes import Cast, episodes, none_of_it
from training.simulator.traffic.honest import BUY, WORLDWIDE, pay
from training.simulator.typologies.shares import wanted

STORY = "friendly fraud"
INCLINED = 0.02
"""Share of people who ever do it; some of them often."""


def friendly_fraud(cast: Cast) -> Rows:
    """Purchases like any other by people who have found out that disputing works."""
    rng = cast.stream(STORY)
    told = episodes(cast, wanted(cast, STORY), 1, 3, rng, cast.world.first_day(STORY))
    if not len(told):
        return none_of_it()
    inclined = share_of(np.arange(cast.people.joined(0)), f"{cast.world.seed}/inclined")
    willing = np.flatnonzero(inclined < max(INCLINED, float(inclined.min()) * 1.0001))  # in a hamlet at least one
    payer = willing[(len(willing) * rng.random(told.count) ** 2).astype(np.int64)][told.episode]
    day = told.day[told.episode] + told.step * rng.integers(0, 9, len(told))
    parts = [_one_day(cast, int(d), payer[day == d]) for d in np.unique(day) if d < cast.world.days]
    return by_time(joined(parts)) if parts else none_of_it()


def _one_day(cast: Cast, day: int, payer: Integers) -> Rows:
    rng = cast.stream(f"{STORY} of a day", day)
    time = cast.year.moments(day, len(payer), rng)
    kind = np.where(rng.random(len(payer)) < 0.7, BUY, WORLDWIDE)
    rows = pay(cast.people, cast.places, kind, payer, time, cast.year, day, rng, story=STORY)
    more = np.round(rows["amount_minor"] * rng.uniform(1.0, 2.6, len(payer)))
    whole = (rows["currency"] == 0) & (rows["payee_country"] == 0)
    rows["amount_minor"] = np.where(whole, np.maximum(more // 100 * 100, 100), more).astype(np.int64)
    return rows
