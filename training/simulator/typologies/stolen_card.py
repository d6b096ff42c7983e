"""Stolen card: card data bought abroad pay international brands until the issuer or the owner notices."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import CARD, address_abroad, rented_address
from training.simulator.rows import CARD_RAIL, IN_APP, ONLINE, Rows, in_currency, payments
from training.simulator.traffic.episodes import (
    Episodes,
    WorldContext,
    earlier_declines,
    minutes_apart,
    moment,
)
from training.simulator.typologies.resources import burner, fresh_accounts

TYPOLOGY = "stolen card"


def stolen_card(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """One to six purchases, from the victim's own account or from one that collects stolen cards."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    crew = rng.integers(0, 10, drawn.count)[e] + 10 * (day // 12)
    victim = payers.active(drawn.count, 0, rng)[e]
    own_account = (rng.random(drawn.count) < 0.55)[e]
    way = rng.random(drawn.count)[e]
    quick, slow = minutes_apart(drawn, 3.0, 50.0, rng), minutes_apart(drawn, 120.0, 900.0, rng)
    time = moment(ctx, drawn.day, rng.uniform(0.0, 24.0, drawn.count))[e] + np.where(way < 0.6, quick, slow)
    refused = rng.random(n) < 0.22
    declines = earlier_declines(ctx, drawn, refused)
    paise = np.exp(rng.normal(np.log(900_000), 0.85, n)) * 0.7**declines
    payee = payees.brand_abroad(rng.random(n))
    at_home = rng.random(n) < 0.12
    payee = np.where(at_home, payees.brand(rng.random(n)), payee)
    currency = np.where(rng.random(n) < 0.65, payees.country(payee), 0)
    account = np.where(own_account, victim, fresh_accounts(ctx, TYPOLOGY, crew, day, rng, rented=0.3))
    device = np.where(way < 0.8, burner(TYPOLOGY, np.where(own_account, e, 1_000_000 + crew) * 8 + declines),
                      payers.phone(account, day, rng))  # fmt: skip
    ip = np.select(
        [way < 0.35, way < 0.6], [rented_address(crew * 3 + declines), address_abroad(1 + crew % 6, rng)],
        payers.address(account, rng),
    )  # fmt: skip
    return payments(
        payers, payees, rng, time=time, amount_minor=in_currency(np.clip(paise, 30_000, 30_000_000), currency),
        payer=account, payee=payee, rail=CARD_RAIL, channel=np.where(rng.random(n) < 0.4, IN_APP, ONLINE),
        day=day, typology=TYPOLOGY, instrument=4 * victim + CARD, device=device, ip=ip, currency=currency,
        refused=refused.astype(np.int64),
    )  # fmt: skip
