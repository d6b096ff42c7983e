"""Hard negatives: honest payments that look like fraud typologies.

Collected fees, wages, a large purchase on a new phone, coins of a game, the opening of a shop, a fair, an agent's
shared phone, an evening of foreign purchases through a VPN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.simulator.parties.payers import CARD, rented_address
from training.simulator.rows import (
    CARD_RAIL,
    COLLECT,
    IN_APP,
    ONLINE,
    P2P,
    QR_STATIC,
    UPI,
    WALLET_RAIL,
    Rows,
    concatenated,
    in_currency,
    payments,
)
from training.simulator.traffic.episodes import (
    Episodes,
    WorldContext,
    draw_episodes,
    minutes_apart,
    moment,
    usual_hours,
    whole_rupees,
)
from training.simulator.traffic.honest import KIOSKS, KIOSKS_PER_CITY, NEW_PHONES

HARD_NEGATIVE_SHARE = 0.035
"""Share of all payments."""

HardNegative = Callable[[WorldContext, Episodes, np.random.Generator], Rows]


def hard_negatives(ctx: WorldContext) -> Rows:
    """All hard negatives of the world."""
    parts = []
    for name, (share, low, high, build) in HARD_NEGATIVES.items():
        rng = ctx.stream(f"occasion {name}")
        drawn = draw_episodes(ctx, HARD_NEGATIVE_SHARE * share * float(ctx.calendar.usual.sum()), low, high, rng)
        if len(drawn):
            parts.append(build(ctx, drawn, rng))
    return ctx.inside(concatenated(parts))


def _collection(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """School trips, weddings, housing societies: many payers pay one person the same amount within hours or days."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(n, 0, rng)
    organiser = ctx.payers.active(drawn.count, 0, rng)[e]
    length_h = np.exp(rng.uniform(0.5, 4.2, drawn.count))[e]
    late = (rng.random(n) * length_h / 24).astype(np.int64)
    fee = np.exp(rng.normal(np.log(110_000), 0.9, drawn.count))[e] // 5_000 * 5_000 + 5_000
    amount = np.where(rng.random(n) < 0.75, fee, fee * rng.integers(2, 4, n)).astype(np.int64)
    return payments(
        ctx.payers, ctx.payees, rng, time=moment(ctx, day + late, usual_hours(n, rng)), amount_minor=amount,
        payer=payer, payee=ctx.payees.first_person + organiser, rail=UPI,
        channel=np.where((rng.random(drawn.count) < 0.45)[e], COLLECT, P2P), day=day,
    )  # fmt: skip


def _wages(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """One payer pays staff, tutors or family members one after another."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(drawn.count, 0, rng)[e]
    known = rng.random(n) < 0.6
    payee = np.where(known, ctx.payers.relative(payer, rng), ctx.payers.active(n, 0, rng))
    time = moment(ctx, drawn.day, usual_hours(drawn.count, rng))[e] + minutes_apart(drawn, 0.5, 25.0, rng)
    paise = np.exp(rng.normal(np.log(430_000), 0.8, drawn.count))[e] * rng.lognormal(0.0, 0.5, n)
    return payments(
        ctx.payers, ctx.payees, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 10_000, 9e6), rng, 0.6),
        payer=payer, payee=ctx.payees.first_person + payee, rail=UPI, channel=P2P, day=day,
    )  # fmt: skip


def _new_phone(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """A new phone, perhaps on a journey, followed by an unusually large purchase."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(drawn.count, 0, rng)[e]
    time = moment(ctx, drawn.day, usual_hours(drawn.count, rng))[e] + minutes_apart(drawn, 1.0, 60.0, rng)
    paise = np.exp(rng.normal(np.log(360_000), 1.0, drawn.count))[e] * rng.lognormal(0.0, 0.6, n)
    shop = rng.random(n) < 0.55
    person = ctx.payees.first_person + ctx.payers.active(n, 0, rng)
    device = NEW_PHONES + 4 * payer + day % 4
    network = 0x64400000 + rng.integers(0, 10, drawn.count)[e] * 4096 + rng.integers(0, 1500, n)
    return payments(
        ctx.payers, ctx.payees, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 5_000, 2e7), rng),
        payer=payer, payee=np.where(shop, ctx.payees.brand(rng.random(n)), person), rail=UPI,
        channel=np.where(shop, IN_APP, P2P), day=day, device=device, ip=network,
    )  # fmt: skip


def _coins(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Games, tickets and top-ups: small payments in quick succession, some declined and tried again."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(drawn.count, 0, rng)[e]
    shop = ctx.payees.brand(rng.random(drawn.count))[e]
    card = (rng.random(drawn.count) < 0.6)[e]
    amount = np.exp(rng.uniform(np.log(900), np.log(50_000), n)) // 100 * 100
    time = moment(ctx, drawn.day, usual_hours(drawn.count, rng))[e] + minutes_apart(drawn, 0.3, 6.0, rng)
    return payments(
        ctx.payers, ctx.payees, rng, time=time, amount_minor=np.maximum(amount, 100).astype(np.int64), payer=payer,
        payee=shop, rail=np.where(card, CARD_RAIL, WALLET_RAIL), channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE),
        day=day, refused=(rng.random(n) < 0.14).astype(np.int64),
    )  # fmt: skip


def _opening(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Many customers at a new shop in its first days; the QR code may be the owner's private one."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(n, 0, rng)
    city = ctx.payers.city[payer[np.arange(n) - drawn.step]]
    slot = rng.integers(0, 1 << 20, drawn.count)[e] % max(ctx.payees.new_per_day // 10, 1) * 10 + city
    shop = ctx.payees.first_new + day * ctx.payees.new_per_day + np.minimum(slot, ctx.payees.new_per_day - 1)
    owner = ctx.payees.first_person + ctx.payers.active(drawn.count, 0, rng)[e]
    private = (rng.random(drawn.count) < 0.4)[e]
    late = (rng.random(n) * rng.integers(1, 6, drawn.count)[e]).astype(np.int64)
    paise = 18_000 * ctx.payers.spend[payer] * ctx.payees.price(shop) * rng.lognormal(0.0, 0.9, n)
    return payments(
        ctx.payers, ctx.payees, rng, time=moment(ctx, day + late, usual_hours(n, rng)),
        amount_minor=whole_rupees(np.clip(paise, 1_000, 3e6), rng, 0.25), payer=payer,
        payee=np.where(private, owner, shop), rail=UPI, channel=QR_STATIC, day=day,
    )  # fmt: skip


def _fair(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """A new shop sells more in two days than in the month before, through a fair or a popular video."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(n, 0, rng)
    age = rng.integers(8, 60, drawn.count)[e]
    opened = np.maximum(day - age, 0)
    slot = rng.integers(0, 1 << 20, drawn.count)[e] % ctx.payees.new_per_day
    shop = ctx.payees.first_new + opened * ctx.payees.new_per_day + slot
    paise = np.exp(rng.normal(np.log(330_000), 0.8, drawn.count))[e] * rng.lognormal(0.0, 0.6, n)
    late = (rng.random(n) * rng.integers(1, 4, drawn.count)[e]).astype(np.int64)
    card = rng.random(n) < 0.5
    return payments(
        ctx.payers, ctx.payees, rng, time=moment(ctx, day + late, usual_hours(n, rng)),
        amount_minor=whole_rupees(np.clip(paise, 10_000, 1.5e7), rng, 0.25), payer=payer, payee=shop,
        rail=np.where(card, CARD_RAIL, UPI), channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day,
    )  # fmt: skip


def _agent(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Payers without a phone send money or buy at an agent's counter, all from the agent's device."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(n, 0, rng)
    kiosk = KIOSKS + rng.integers(0, 10 * KIOSKS_PER_CITY, drawn.count)[e]
    time = moment(ctx, drawn.day, usual_hours(drawn.count, rng))[e] + minutes_apart(drawn, 1.0, 15.0, rng)
    shop = rng.random(n) < 0.4
    payee = np.where(shop, ctx.payees.brand(rng.random(n)), ctx.payees.first_person + ctx.payers.relative(payer, rng))
    paise = np.exp(rng.normal(np.log(150_000), 0.9, n))
    return payments(
        ctx.payers, ctx.payees, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 5_000, 5e6), rng, 0.5),
        payer=payer, payee=payee, rail=np.where(shop & (rng.random(n) < 0.5), WALLET_RAIL, UPI),
        channel=np.where(shop, IN_APP, P2P), day=day, device=kiosk,
        ip=0x5D000000 + rng.integers(0, 10 * KIOSKS_PER_CITY, drawn.count)[e],
    )  # fmt: skip


def _abroad_evening(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Purchases from foreign brands in one evening: presents, flights, a laptop; some through a VPN."""
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    payer = ctx.payers.active(drawn.count, 0, rng)[e]
    payee = ctx.payees.brand_abroad(rng.random(n))
    currency = np.where(rng.random(n) < 0.65, ctx.payees.country(payee), 0)
    paise = np.exp(rng.normal(np.log(520_000), 0.9, n))
    private = (rng.random(drawn.count) < 0.3)[e]
    time = moment(ctx, drawn.day, usual_hours(drawn.count, rng))[e] + minutes_apart(drawn, 3.0, 60.0, rng)
    own = ctx.payers.phone(payer, day, rng)
    return payments(
        ctx.payers, ctx.payees, rng, time=time, amount_minor=in_currency(np.clip(paise, 20_000, 2e7), currency),
        payer=payer, payee=payee, rail=CARD_RAIL, channel=np.where(rng.random(n) < 0.5, IN_APP, ONLINE), day=day,
        instrument=4 * payer + CARD, currency=currency,
        device=np.where((rng.random(drawn.count) < 0.3)[e], NEW_PHONES + 4 * payer + 2, own),
        ip=np.where(private, rented_address(rng.integers(0, 3_000, n)), ctx.payers.address(payer, rng)),
        refused=(rng.random(n) < 0.07).astype(np.int64),
    )  # fmt: skip


HARD_NEGATIVES: dict[str, tuple[float, int, int, HardNegative]] = {
    "collection": (0.16, 3, 30, _collection),
    "wages": (0.16, 3, 16, _wages),
    "new phone": (0.16, 1, 4, _new_phone),
    "coins": (0.14, 4, 16, _coins),
    "opening": (0.12, 8, 40, _opening),
    "fair": (0.08, 10, 40, _fair),
    "agent": (0.09, 4, 20, _agent),
    "abroad evening": (0.09, 1, 5, _abroad_evening),
}
"""Share of all hard negatives, fewest and most payments of an episode, and the function that makes its rows."""
