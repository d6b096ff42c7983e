"""How much of each story there is, and who tells it."""

from __future__ import annotations

from collections.abc import Callable

from training.simulator.rows import Rows
from training.simulator.traffic.episodes import Cast

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
"""Of all fraud payments while every story runs, by count."""

Story = Callable[[Cast], Rows]


def wanted(cast: Cast, story: str) -> float:
    """About how many payments a story has in this world."""
    first = max(cast.world.first_day(story), 0)
    return float(cast.world.fraud_share * SHARES[story] * cast.year.usual[first:].sum())
