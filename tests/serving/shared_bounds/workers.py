"""Scoring processes as far as their bounds go, over a real Redis."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from serving.access.rate_limit import RateLimiter
from serving.decision.breaker import Breakers
from serving.redis_store.connection import RedisConnection, address_of
from serving.redis_store.keys import Keys
from serving.redis_store.state import RedisState
from serving.shared_bounds.bounds import Bounds
from serving.shared_bounds.exchange import Exchange
from serving.shared_bounds.exposure import SharedExposure

BASELINE = {"model": 0.01}


class Worker:
    """One process: its exposure, its limiter, its breakers, and what it exchanges."""

    def __init__(self, state: RedisState, bound: int | None, workers: int) -> None:
        self.state, self.now = state, 1_000.0
        self.bounds = Bounds(1.0 / workers, now=lambda: self.now)
        self.exposure = SharedExposure(self.bounds)
        self.exposure.limit(bound)
        self.limiter = RateLimiter(now=lambda: self.now, bounds=self.bounds)
        self.breakers = Breakers(("model",), BASELINE)
        self.bounds.members.append(self.exposure)
        self.bounds.rates.append(self.limiter)
        self.wall_ms = 1_800_000_000_000
        self.exchange = Exchange(state, self.bounds, lambda: self.breakers, workers, wall_ms=lambda: self.wall_ms)

    def approve(self, at_ms: int, amount: int) -> int:
        """The amount if it is approved without a score, else 0."""
        assert self.exposure.most_minor is not None
        if self.exposure.spent(at_ms, amount) + amount > self.exposure.most_minor:
            return 0
        self.exposure.add(at_ms, amount)
        return amount


@contextlib.asynccontextmanager
async def workers(
    url: str, prefix: str, count: int, bound: int | None = None, first: int | None = None
) -> AsyncIterator[list[Worker]]:
    """`count` processes that have taken part; `first`: how many each believes to start together."""
    async with AsyncExitStack() as open_ones:
        found = []
        for _ in range(count):
            state = RedisState(RedisConnection(address_of(url)), Keys(prefix), keep_seconds=600, stream_limit=1_000)
            await state.open()
            open_ones.callback(state.close)
            found.append(Worker(state, bound, first or count))
        for one in found:
            await one.exchange.once()
        yield found
