"""Promotion abuse: farms of phones and accounts take the coupons of a sale in its first hours."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import rented_address
from training.simulator.rows import IN_APP, UPI, WALLET_RAIL, Rows, payments
from training.simulator.traffic.episodes import Episodes, WorldContext, draw_episodes, earlier_declines, moment
from training.simulator.typologies.resources import EPISODE_SIZES, SHARES, burner, expected_payments, fresh_accounts

TYPOLOGY = "promotion abuse"


def promotion_episodes(ctx: WorldContext, typology: str, rng: np.random.Generator) -> Episodes:
    """Most of it is for the sales; on ordinary days there is a coupon now and then."""
    first = ctx.world.first_day(typology)
    weights = np.where(ctx.calendar.sale > 0, ctx.calendar.usual * (0.4 + ctx.calendar.sale), 0.03 * ctx.calendar.usual)
    most = float(weights[first:].sum()) * ctx.world.fraud_share * SHARES[typology] * 15
    low, high = EPISODE_SIZES[typology]
    return draw_episodes(ctx, min(expected_payments(ctx, typology), most), low, high, rng, first, weights)


def promotion_abuse(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Each farm pays just above what a coupon asks for, at a few brands, with accounts that share phones."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    craft = rng.random(drawn.count)[e]
    sale = ctx.calendar.sale[drawn.day] > 0
    begins = np.where(sale, rng.exponential(1.2, drawn.count), rng.uniform(9.0, 22.0, drawn.count))
    length_h = rng.uniform(0.3, 5.0, drawn.count)[e]
    time = moment(ctx, drawn.day, np.minimum(begins, 22.0))[e] + (rng.random(n) * length_h * 3_600_000).astype(np.int64)
    order = np.lexsort((time, e))
    time = time[order]  # e is sorted already, so only times change places inside their episode
    refused = rng.random(n) < 0.10
    declines = earlier_declines(ctx, drawn, refused)
    per_phone = np.where(craft < 0.5, 5, 2)
    account = fresh_accounts(ctx, TYPOLOGY, e * 64 + drawn.step // np.where(craft < 0.3, 1, 3), day, rng, rented=0.25)
    phone = burner(TYPOLOGY, e * 64 + drawn.step // per_phone)
    coupon = np.array([29_900, 49_900, 79_900, 99_900, 199_900])[rng.integers(0, 5, drawn.count)][e]
    amount = coupon + (rng.exponential(9_000, n) // 100 * 100).astype(np.int64) + 4_000 * declines
    brand = payees.brand(rng.random(drawn.count * 3))[e * 3 + rng.integers(0, 3, n)]
    return payments(
        payers, payees, rng, time=time, amount_minor=amount, payer=account, payee=brand,
        rail=np.where(rng.random(n) < 0.5, WALLET_RAIL, UPI), channel=IN_APP, day=day, typology=TYPOLOGY,
        device=np.where(craft > 0.85, payers.phone(account, day, rng), phone),
        ip=np.where(craft < 0.5, rented_address(e * 5 + drawn.step // 12), payers.address(account, rng)),
        refused=refused.astype(np.int64),
    )  # fmt: skip
