"""What all typologies use: their share of the fraud, their episodes, and the accounts and devices of fraudsters."""

from __future__ import annotations

import numpy as np

from training.data.arrays import Integers
from training.simulator.random_streams import share_of
from training.simulator.traffic.episodes import Episodes, WorldContext, draw_episodes
from training.simulator.traffic.honest import BURNERS

SHARES = {
    "card testing": 0.22,
    "account takeover": 0.13,
    "collect request": 0.13,
    "stolen card": 0.10,
    "friendly fraud": 0.05,
    "mule": 0.14,
    "promotion abuse": 0.06,
    "bust-out merchant": 0.10,
    "qr swap": 0.07,
}
"""Share of all fraud payments while every typology is active, by count."""


EPISODE_SIZES = {
    "card testing": (5, 20),
    "account takeover": (1, 6),
    "collect request": (2, 13),
    "stolen card": (1, 6),
    "friendly fraud": (1, 3),
    "mule": (5, 20),
    "promotion abuse": (10, 40),
    "bust-out merchant": (12, 45),
    "qr swap": (5, 28),
}
"""Fewest and most payments of an episode."""


def usual_episodes(ctx: WorldContext, typology: str, rng: np.random.Generator) -> Episodes:
    """The episodes of a typology that follows the usual traffic."""
    low, high = EPISODE_SIZES[typology]
    return draw_episodes(ctx, expected_payments(ctx, typology), low, high, rng, ctx.world.first_day(typology))


def expected_payments(ctx: WorldContext, typology: str) -> float:
    """The approximate number of payments of a typology in this world."""
    first = max(ctx.world.first_day(typology), 0)
    return float(ctx.world.fraud_share * SHARES[typology] * ctx.calendar.usual[first:].sum())


def fresh_accounts(
    ctx: WorldContext, typology: str, crew: Integers, day: Integers, rng: np.random.Generator, rented: float = 0.4
) -> Integers:
    """One account per crew number: opened recently for fraud, or rented from an honest payer."""
    names, place = np.unique(crew, return_inverse=True)
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, place, day)
    opened = ctx.payers.recently_opened(first, rng)
    lent = (share_of(names, f"{ctx.world.seed}/{typology}/lent") * ctx.payers.joined(0)).astype(np.int64)
    is_rented = share_of(names, f"{ctx.world.seed}/{typology}/rented") < rented
    return np.asarray(np.where(is_rented, lent, opened)[place], np.int64)


def burner(typology: str, number: Integers) -> Integers:
    """A separate device for each number."""
    return np.asarray(BURNERS + (share_of(number, f"{typology}/device") * 40_000_000_000).astype(np.int64), np.int64)


def mules(
    ctx: WorldContext, typology: str, draw: Integers, day: Integers, per_crew: int, rng: np.random.Generator
) -> Integers:
    """Mule accounts that receive for others; each is used for about nine days."""
    return fresh_accounts(ctx, f"{typology} mules", (day // 9) * per_crew + draw % per_crew, day, rng, rented=0.55)
