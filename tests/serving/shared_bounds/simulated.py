"""Processes over a real Redis with one clock that the test moves, and the traffic of one caller."""

from __future__ import annotations

import dataclasses
import heapq
import random
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import redis

from serving.redis_store.scripts import SHARE, script
from serving.shared_bounds.bounds import RESERVE
from serving.shared_bounds.exchange import SOON_SECONDS
from tests.serving.shared_bounds.workers import Worker, workers

#: The script with a clock that the test sets; Redis's own cannot be set.
CLOCKED = script(SHARE.text.replace("redis.call('TIME')", "{0, redis.call('GET', KEYS[1] .. ':clock')}"))
START = 1_000.0

Join = Callable[[], Awaitable[Worker]]
Split = Callable[[float, random.Random, int], int]


@dataclasses.dataclass
class Traffic:
    """When requests were allowed and refused, in seconds since the start."""

    allowed: list[float] = dataclasses.field(default_factory=list)
    refused: list[float] = dataclasses.field(default_factory=list)

    def refused_after(self, second: float) -> int:
        return sum(at >= second for at in self.refused)

    def excess(self, rate: int, workers: int) -> float:
        """How far the fullest window of all passes the bound, a tenth more, and one request per worker."""
        found = -float("inf")
        for first, at in enumerate(self.allowed):
            for span in (0.0, 0.05, 0.2, 0.5, 0.61, 0.65, 0.7, 0.8, 1.0, 2.0, 5.0, 10.0):
                passed = bisect_right(self.allowed, at + span) - first
                found = max(found, passed - (1 + RESERVE) * (rate + rate * span) - workers)
        return found


class Simulated:
    """Some processes over a real Redis, with one clock that moves only when the test moves it."""

    def __init__(self, url: str, prefix: str, found: list[Worker], dice: random.Random, join: Join) -> None:
        self.found, self.now, self.dice = found, START, dice
        self._redis, self._clock = redis.Redis.from_url(url), f"{found[0].state.keys.workers.decode()}:clock"
        self.away: set[int] = set()
        self._join = join
        self._ticks = [(START + dice.random() * SOON_SECONDS, number) for number in range(len(found))]
        heapq.heapify(self._ticks)

    def set_to(self, now: float) -> None:
        self.now = now
        for one in self.found:
            one.now = now

    async def until(self, moment: float) -> None:
        """Let every process exchange up to that moment, some late."""
        while self._ticks[0][0] <= moment:
            at, number = heapq.heappop(self._ticks)
            self.set_to(at)
            if number not in self.away:
                self._redis.set(self._clock, round(at * 1e6))
                await self.found[number].exchange.tick()
            late = 0.02 * self.dice.random()
            heapq.heappush(self._ticks, (at + SOON_SECONDS + late, number))
        self.set_to(moment)

    async def join(self) -> None:
        """One more process."""
        one = await self._join()
        one.now = self.now
        self.found.append(one)
        heapq.heappush(self._ticks, (self.now, len(self.found) - 1))

    async def send(self, rate: int, per_second: float, seconds: float, split: Split) -> Traffic:
        """Evenly paced requests."""
        begins, sent = self.now, Traffic()
        for number in range(int(seconds * per_second)):
            at = number / per_second
            await self.until(begins + at)
            one = self.found[split(at, self.dice, len(self.found))]
            (sent.refused if one.limiter.take("till", rate) else sent.allowed).append(at)
        return sent


async def simulated(url: str, prefix: str, count: int, seed: int, stack: AsyncExitStack) -> Simulated:
    """`count` processes that have been there for three seconds."""
    with redis.Redis.from_url(url) as client:
        client.set(f"{prefix}:{{bounds}}:workers:clock", round(START * 1e6))
    found = await stack.enter_async_context(workers(url, prefix, count))

    async def join() -> Worker:
        (one,) = await stack.enter_async_context(workers(url, prefix, 1))
        return one

    world = Simulated(url, prefix, found, random.Random(seed), join)
    await world.until(START + 4.0)
    return world
