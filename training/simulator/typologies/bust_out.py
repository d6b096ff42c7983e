"""Bust-out merchant: a small merchant trades honestly for weeks, then charges large sums for days and disappears."""

from __future__ import annotations

import numpy as np

from training.data.arrays import Integers
from training.simulator.parties.payers import CARD
from training.simulator.random_streams import share_of
from training.simulator.rows import CARD_RAIL, IN_APP, ONLINE, QR_STATIC, UPI, Rows, concatenated, payments
from training.simulator.traffic.episodes import Episodes, WorldContext, moment, usual_hours, whole_rupees
from training.simulator.typologies.resources import burner, fresh_accounts, usual_episodes

TYPOLOGY = "bust-out merchant"
FOR_YEARS = -(1 << 30)
LEAST_DAYS, MOST_DAYS = 10, 40
BOUGHT = 0.4
"""Share of the merchants that were bought and have years of honest history."""


def registered_days(ctx: WorldContext) -> Integers:
    """For each fraudulent merchant the day of the world on which it was registered; FOR_YEARS: years before."""
    turns = usual_episodes(ctx, TYPOLOGY, ctx.stream(TYPOLOGY)).day[: ctx.payees.rogues]
    number = np.arange(len(turns))
    early = 1 + (share_of(number, f"{ctx.world.seed}/early") * 12).astype(np.int64)
    days = np.full(ctx.payees.rogues, FOR_YEARS)
    bought = share_of(number, f"{ctx.world.seed}/bought") < BOUGHT
    days[: len(turns)] = np.where(bought, FOR_YEARS, turns - _honest_days(ctx, len(turns)) - early)
    return days


def _honest_days(ctx: WorldContext, count: int) -> Integers:
    draw = share_of(np.arange(count), f"{ctx.world.seed}/honest days")
    return np.asarray(LEAST_DAYS + (draw * (MOST_DAYS - LEAST_DAYS)).astype(np.int64), np.int64)


def bust_out(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Weeks of small honest trade, then a burst of payments by stolen and borrowed cards."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    merchant = payees.first_rogue + np.arange(drawn.count) % payees.rogues
    length_h = rng.uniform(10.0, 150.0, drawn.count)[e]
    time = moment(ctx, drawn.day, rng.uniform(8.0, 20.0, drawn.count))[e]
    time = time + (rng.random(n) * length_h * 3_600_000).astype(np.int64)
    victim = payers.active(n, 0, rng)
    on_card = rng.random(n) < 0.7
    known = payers.active(drawn.count * 12, 0, rng)[e * 12 + rng.integers(0, 12, n)]  # friends of the merchant
    crew = fresh_accounts(ctx, TYPOLOGY, e * 16 + rng.integers(0, 16, n), day, rng, rented=0.5)
    payer = np.where(rng.random(n) < 0.45, crew, known)
    paise = np.exp(rng.normal(np.log(620_000), 0.75, drawn.count))[e] * rng.lognormal(0.0, 0.5, n)
    stolen = on_card & (rng.random(n) < 0.6)
    burst = payments(
        payers, payees, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 60_000, 20_000_000), rng, 0.25),
        payer=payer, payee=merchant[e], rail=np.where(on_card, CARD_RAIL, UPI),
        channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day, typology=TYPOLOGY,
        instrument=np.where(stolen, 4 * victim + CARD, 4 * payer + np.where(on_card, CARD, 0)),
        device=np.where(rng.random(n) < 0.3, burner(TYPOLOGY, e * 8 + rng.integers(0, 8, n)),
                        payers.phone(payer, day, rng)),
        refused=(rng.random(n) < 0.12).astype(np.int64),
    )  # fmt: skip
    return concatenated([burst, _honest_trade(ctx, drawn, merchant, rng)])


def _honest_trade(ctx: WorldContext, drawn: Episodes, merchant: Integers, rng: np.random.Generator) -> Rows:
    """The honest payments of the weeks before."""
    payers, payees = ctx.payers, ctx.payees
    weeks = _honest_days(ctx, drawn.count)
    sales = weeks * rng.integers(1, 4, drawn.count)
    e = np.repeat(np.arange(drawn.count), sales)
    n = len(e)
    day = drawn.day[e] - 1 - (rng.random(n) * weeks[e]).astype(np.int64)
    payer = payers.active(n, 0, rng)
    paise = 40_000 * payees.price(merchant[e]) * rng.lognormal(0.0, 0.9, n)
    remote = rng.random(n) < 0.4
    return payments(
        payers, payees, rng, time=moment(ctx, day, usual_hours(n, rng)),
        amount_minor=whole_rupees(np.clip(paise, 2_000, 5_000_000), rng), payer=payer, payee=merchant[e], rail=UPI,
        channel=np.where(remote, IN_APP, QR_STATIC), day=day,
    )  # fmt: skip
