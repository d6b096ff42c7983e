"""Friendly fraud (first-party misuse): the payer disputes a genuine purchase. The payment itself is not unusual."""

from __future__ import annotations

import numpy as np

from training.data.arrays import Integers
from training.simulator.random_streams import share_of
from training.simulator.rows import Rows, concatenated
from training.simulator.traffic.episodes import Episodes, WorldContext
from training.simulator.traffic.honest import BUY, WORLDWIDE, pay

TYPOLOGY = "friendly fraud"
INCLINED = 0.02
"""Share of payers who ever do it; some of them often."""


def friendly_fraud(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Ordinary purchases by payers who dispute them later."""
    inclined = share_of(np.arange(ctx.payers.joined(0)), f"{ctx.world.seed}/inclined")
    willing = np.flatnonzero(inclined < max(INCLINED, float(inclined.min()) * 1.0001))  # in a hamlet at least one
    payer = willing[(len(willing) * rng.random(drawn.count) ** 2).astype(np.int64)][drawn.episode]
    day = drawn.day[drawn.episode] + drawn.step * rng.integers(0, 9, len(drawn))
    parts = [_one_day(ctx, int(d), payer[day == d]) for d in np.unique(day) if d < ctx.world.days]
    return concatenated(parts)


def _one_day(ctx: WorldContext, day: int, payer: Integers) -> Rows:
    rng = ctx.stream(f"{TYPOLOGY} of a day", day)
    time = ctx.calendar.moments(day, len(payer), rng)
    kind = np.where(rng.random(len(payer)) < 0.7, BUY, WORLDWIDE)
    rows = pay(ctx.payers, ctx.payees, kind, payer, time, ctx.calendar, day, rng, typology=TYPOLOGY)
    more = np.round(rows["amount_minor"] * rng.uniform(1.0, 2.6, len(payer)))
    whole = (rows["currency"] == 0) & (rows["payee_country"] == 0)
    rows["amount_minor"] = np.where(whole, np.maximum(more // 100 * 100, 100), more).astype(np.int64)
    return rows
