"""The exchange: every sixth of a second a process tells the others what it used and counted, and hears the same."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

import msgspec

from serving.decision.breaker import Breakers
from serving.errors import StateUnavailable
from serving.redis_store.service_counts import agree_on_shares, batches_after, last_batch, leave, publish_declines
from serving.redis_store.state import RedisState
from serving.shared_bounds.bounds import RESERVE, Bounds
from serving.shared_bounds.declines import decode_counted, encode_counted

log = logging.getLogger("riskgate.bounds")

EVERY_SECONDS = 0.15
#: When a token bucket runs low the next exchange comes this soon.
SOON_SECONDS = 0.05
#: How long a starting process waits for the others to make room for its fraction.
JOIN_SECONDS = 3.0

_encode = msgspec.json.Encoder().encode


class Exchange:
    """Keeps the bounds and breakers of this process in agreement with those of the service."""

    def __init__(
        self,
        state: RedisState,
        bounds: Bounds,
        breakers: Callable[[], Breakers],
        workers: int,
        *,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`workers` is how many processes start together on this host; `breakers` those that decide now."""
        self._state, self._bounds, self._breakers = state, bounds, breakers
        self._first, self._wall_ms = 1.0 / max(1, workers), wall_ms
        self._place, self._ticks = b"", 0
        self.worker = os.urandom(8).hex()
        #: Whether the latest exchange failed: the process then keeps to its fraction.
        self.alone = False

    async def join(self) -> None:
        """Take part before the first payment; without an answer the process begins with a share of its host's."""
        self._bounds.fraction = 0.0
        ends = time.monotonic() + JOIN_SECONDS
        while self._bounds.fraction == 0.0 and time.monotonic() < ends:
            await self.once()
            if self._bounds.fraction == 0.0:
                await asyncio.sleep(EVERY_SECONDS)
        if self._bounds.fraction == 0.0:  # the others did not make room in time
            self._bounds.fraction = RESERVE * self._first

    async def run(self) -> None:
        """Exchange until cancelled."""
        while True:
            await asyncio.sleep(SOON_SECONDS)
            await self.tick()

    async def tick(self) -> None:
        """One exchange if a token bucket runs low, or if it is time for one; to be called every `SOON_SECONDS`."""
        self._ticks += 1
        if self._bounds.low or self._ticks * SOON_SECONDS >= EVERY_SECONDS - 1e-9:
            self._ticks = 0
            await self.once()

    async def once(self) -> None:
        """One exchange; a Redis that does not answer leaves this process with its fraction."""
        asks = {ask.name: (ask.bound, ask.used, ask.wanted, ask.keep_seconds) for ask in self._bounds.begin()}
        rates = _encode(self._bounds.rates_asked())
        fraction = self._bounds.fraction
        try:
            found = await agree_on_shares(self._state, self.worker, fraction, self._first, _encode(asks), rates)
        except StateUnavailable as error:
            self._bounds.fail()
            self._note(error)
            return
        except BaseException:
            self._bounds.fail()
            raise
        self._bounds.agree(found.fraction, found.held)
        try:
            await self._exchange_declines()
        except StateUnavailable as error:
            self._note(error)
            return
        self._note(None)

    async def end(self) -> None:
        """Give the fraction back to the others."""
        try:
            await leave(self._state, self.worker)
        except StateUnavailable as error:
            log.warning("the others wait five minutes before they take over this process's bounds: %s", error)

    async def _exchange_declines(self) -> None:
        if not self._place:
            self._place = await last_batch(self._state)
        breakers = self._breakers()
        counted = breakers.take_counted()
        if counted.payments or counted.declines:
            await publish_declines(self._state, self.worker, encode_counted(counted))
        now_ms = self._wall_ms()
        for batch in await batches_after(self._state, self._place):
            self._place = batch.place
            if batch.worker != self.worker:
                breakers.observe_elsewhere(now_ms, decode_counted(batch.body))

    def _note(self, error: StateUnavailable | None) -> None:
        if error is not None and not self.alone:
            part = 100 * self._bounds.fraction
            log.warning("this process keeps to its part (%.0f %%) of every bound: %s", part, error)
        elif error is None and self.alone:
            log.warning("this process shares the bounds of the service again")
        self.alone = error is not None
