"""Collect request: a "refund" or "prize" that is a request for money, approved by the victim on the own phone."""

from __future__ import annotations

import numpy as np

from training.simulator.rows import COLLECT, P2P, UPI, Rows, payments
from training.simulator.traffic.episodes import (
    Episodes,
    WorldContext,
    earlier_declines,
    moment,
    whole_rupees,
)
from training.simulator.typologies.resources import fresh_accounts

TYPOLOGY = "collect request"
SCRIPT = np.array([49_900, 99_900, 150_000, 199_900, 299_900, 499_900, 1_000_000, 2_000_000])


def collect_request(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """A collector sends requests to strangers for hours or days, then changes the account."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    length_h = np.exp(rng.uniform(np.log(1.5), np.log(60.0), drawn.count))[e]
    hour = np.clip(rng.normal(14.0, 3.0, drawn.count), 8.0, 21.0)
    time = moment(ctx, drawn.day, hour)[e] + (rng.random(n) * length_h * 3_600_000).astype(np.int64)
    hour_of_day = (time - ctx.world.start_ms) // 3_600_000 % 24
    time = np.where((hour_of_day < 7) | (hour_of_day > 22), time + 9 * 3_600_000, time)
    refused = rng.random(n) < 0.08
    declines = earlier_declines(ctx, drawn, refused)
    scripted = SCRIPT[rng.integers(0, len(SCRIPT), drawn.count)[e]] * np.where(rng.random(n) < 0.25, 2, 1)
    free = whole_rupees(np.exp(rng.normal(np.log(240_000), 0.8, n)), rng)
    keeps_to_script = (rng.random(drawn.count) < 0.5)[e]
    amount = np.maximum(np.where(keeps_to_script, scripted, free) // (1 + declines) // 100 * 100, 10_000)
    victims = payers.active(3 * n, 0, rng).reshape(n, 3)
    older = np.argmax(payers.age[victims], axis=1)  # the oldest of three: scripts work best on them
    victim = victims[np.arange(n), older]
    collector = fresh_accounts(ctx, TYPOLOGY, e * 4 + np.minimum(declines // 2, 3), day, rng, rented=0.45)
    return payments(
        payers, payees, rng, time=time, amount_minor=amount, payer=victim,
        payee=payees.first_person + collector, rail=UPI,
        channel=np.where(rng.random(n) < 0.78, COLLECT, P2P), day=day, typology=TYPOLOGY,
        refused=refused.astype(np.int64),
    )  # fmt: skip
