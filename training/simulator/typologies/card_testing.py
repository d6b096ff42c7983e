"""Card testing: many stolen cards are tried with small amounts, and those that work pay for goods soon after."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import CARD, rented_address
from training.simulator.rows import CARD_RAIL, IN_APP, ONLINE, Rows, payments
from training.simulator.traffic.episodes import (
    Episodes,
    WorldContext,
    earlier_declines,
    minutes_apart,
    moment,
    usual_hours,
)
from training.simulator.typologies.resources import EPISODE_SIZES, burner, fresh_accounts

TYPOLOGY = "card testing"
_, HIGH = EPISODE_SIZES[TYPOLOGY]


def card_testing(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Bursts at one or a few shops from recently opened accounts; careful rings change device and address often."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    craft = rng.random(drawn.count)[e]
    turn = np.where(craft < 0.45, 0, drawn.step // np.where(craft < 0.75, 4, 2))
    begins = moment(ctx, drawn.day, usual_hours(drawn.count, rng))[e]
    cashing = drawn.last_steps(0.22) & (drawn.step > 0)
    pause = np.where(cashing, rng.integers(20, 150, n) * 60_000, 0)
    time = begins + minutes_apart(drawn, 0.4, 7.0, rng) + pause

    refused = rng.random(n) < np.where(cashing, 0.15, 0.34)
    declines = earlier_declines(ctx, drawn, refused)
    turn = turn + declines // 3  # after three refusals the ring changes its device
    test = np.exp(rng.uniform(np.log(900), np.log(42_000), n)) * 0.8 ** np.minimum(declines, 4)
    goods = np.exp(rng.normal(np.log(650_000), 0.8, n)) * 0.85 ** np.minimum(declines, 4)
    victim = payers.active(drawn.count * HIGH, 0, rng)[e * HIGH + drawn.step // np.where(craft < 0.5, 1, 2)]
    account = fresh_accounts(ctx, TYPOLOGY, e * 8 + turn % 8, day, rng, rented=0.35)
    shop = payees.brand(rng.random(drawn.count * 4))[e * 4 + np.where(craft < 0.6, 0, drawn.step % 4)]
    small = payees.newcomer(int(day[0]), payers.city[account], rng)
    shop = np.where((rng.random(drawn.count) < 0.2)[e] & (payees.opens_day(small) <= day), small, shop)
    goods_at = payees.brand(rng.random(n))
    own_phone = payers.phone(account, day, rng)
    return payments(
        payers, payees, rng, time=time,
        amount_minor=np.maximum(np.where(cashing, goods, test) // 100 * 100, 100).astype(np.int64),
        payer=account, payee=np.where(cashing, goods_at, shop), rail=CARD_RAIL,
        channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day, typology=TYPOLOGY,
        instrument=4 * victim + CARD,
        device=np.where(craft > 0.9, own_phone, burner(TYPOLOGY, e * 64 + turn)),
        ip=np.where(craft < 0.55, rented_address(e * 7 + turn), payers.address(account, rng)),
        refused=refused.astype(np.int64),
    )  # fmt: skip
