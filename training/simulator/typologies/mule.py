"""Mules: one account receives money of many victims and forwards it to many others within minutes or days."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import rented_address
from training.simulator.rows import P2P, UPI, Rows, payments
from training.simulator.traffic.episodes import (
    Episodes,
    WorldContext,
    earlier_declines,
    minutes_apart,
    moment,
    usual_hours,
    whole_rupees,
)
from training.simulator.typologies.resources import burner, fresh_accounts

TYPOLOGY = "mule"


def mule(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Fan-in, then fan-out. Careful ones spread it over days and mix round amounts with odd ones."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    careful = rng.random(drawn.count)[e]
    out = drawn.last_steps(0.55)
    quick, slow = minutes_apart(drawn, 1.0, 20.0, rng), minutes_apart(drawn, 40.0, 420.0, rng)
    time = moment(ctx, drawn.day, usual_hours(drawn.count, rng))[e] + np.where(careful < 0.55, quick, slow)
    refused = rng.random(n) < 0.10
    declines = earlier_declines(ctx, drawn, refused)
    account = fresh_accounts(ctx, TYPOLOGY, e, day, rng, rented=0.6)
    victim = payers.active(n, 0, rng)
    others = fresh_accounts(ctx, TYPOLOGY, 5_000_000 + e * 16 + rng.integers(0, 16, n), day, rng, rented=0.75)
    others = np.where(others == account, (account + 1) % payers.count, others)
    size = np.exp(rng.normal(np.log(480_000), 0.7, drawn.count))[e]
    paise = size * rng.lognormal(0.0, 0.45, n) * np.where(out, 0.8, 1.0) * 0.6**declines
    payer = np.where(out, account, victim)
    operated = (rng.random(drawn.count) < 0.5)[e] & out  # the ring works the account itself
    return payments(
        payers, payees, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 50_000, 10_000_000), rng, 0.5),
        payer=payer, payee=payees.first_person + np.where(out, others, account), rail=UPI, channel=P2P, day=day,
        typology=TYPOLOGY, refused=refused.astype(np.int64),
        device=np.where(operated, burner(TYPOLOGY, e // 3), payers.phone(payer, day, rng)),
        ip=np.where(operated & (careful < 0.4), rented_address(e // 3), payers.address(payer, rng)),
    )  # fmt: skip
