"""Account takeover: a thief controls the account and empties it before the owner notices."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.merchants import CITIES
from training.simulator.parties.payers import rented_address
from training.simulator.rows import COLLECT, IN_APP, P2P, UPI, WALLET_RAIL, Rows, payments
from training.simulator.traffic.episodes import (
    Episodes,
    WorldContext,
    earlier_declines,
    minutes_apart,
    moment,
    usual_hours,
    whole_rupees,
)
from training.simulator.typologies.resources import burner, mules

TYPOLOGY = "account takeover"


def account_takeover(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """One to six growing payments from an unknown device and place; some thieves use the victim's phone, some wait."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    victim = payers.active(drawn.count, 0, rng)[e]
    way, patience = rng.random(drawn.count)[e], rng.random(drawn.count)[e]
    hour = np.where(rng.random(drawn.count) < 0.3, rng.uniform(0.0, 6.0, drawn.count), usual_hours(drawn.count, rng))
    quick, slow = minutes_apart(drawn, 1.0, 14.0, rng), minutes_apart(drawn, 200.0, 1_500.0, rng)
    time = moment(ctx, drawn.day, hour)[e] + np.where(patience < 0.75, quick, slow)

    refused = rng.random(n) < 0.14
    declines = earlier_declines(ctx, drawn, refused)
    drained = np.exp(rng.normal(np.log(520_000), 0.9, drawn.count))[e] * rng.lognormal(0.0, 0.3, n)
    paise = drained * (0.35 + 0.3 * drawn.step) * 0.6**declines
    away = rng.integers(0, len(CITIES), drawn.count)[e]
    receiver = payees.first_person + mules(ctx, TYPOLOGY, rng.integers(0, 64, drawn.count)[e] + declines, day, 5, rng)
    shop = rng.random(n) < 0.28
    own = payers.phone(victim, day, rng)
    device = np.where(way < 0.70, burner(TYPOLOGY, e * 16 + declines), own)
    network = 0x64400000 + away * 4096 + rng.integers(0, 1500, n)
    ip = np.select([way < 0.35, way < 0.60], [rented_address(e + declines), network], payers.address(victim, rng))
    far = (way < 0.6) & (rng.random(n) < 0.5)
    spot = CITIES[away, :2] + rng.normal(0.0, 0.05, (n, 2))
    return payments(
        payers, payees, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 20_000, 20_000_000), rng),
        payer=victim, payee=np.where(shop, payees.brand(rng.random(n)), receiver),
        rail=np.where(shop & payers.has_wallet[victim], WALLET_RAIL, UPI),
        channel=np.where(shop, IN_APP, np.where(rng.random(n) < 0.08, COLLECT, P2P)), day=day, typology=TYPOLOGY,
        device=device, ip=ip, refused=refused.astype(np.int64),
        latitude=np.where(far, np.round(spot[:, 0], 5), np.nan),
        longitude=np.where(far, np.round(spot[:, 1], 5), np.nan),
    )  # fmt: skip
