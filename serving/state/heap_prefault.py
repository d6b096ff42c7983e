"""Lets the state find memory where it grows: a payment must not wait until the system has cleared a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from features.kernel.heap import prefault
from features.state.memory import State
from serving.ledger.sqlite.low_priority import behind_payments

EVERY_SECONDS = 0.1
#: Bytes that lie ready beyond what the state uses, more than it grows between two looks; and what is asked for at once:
#: little and often, so that payments lose little at a time.
AHEAD_BYTES, AT_ONCE_BYTES = 32 << 20, 2 << 20


async def stay_ahead(state: Callable[[], State | None]) -> None:
    """Run for ever, in a thread where it takes time; another heap may take the place of the one before."""
    loop, heap, ready = asyncio.get_running_loop(), None, 0
    # Where memory comes slowly this takes 80 ms of a processor, which payments need more.
    with behind_payments("memory-ahead") as thread:
        while True:
            now = state()
            if now is not None:
                if now.heap is not heap:
                    heap, ready = now.heap, int(now.heap[0])
                used = int(heap[0])
                if 8 * (ready - used) <= AHEAD_BYTES - AT_ONCE_BYTES:
                    first, ready = max(ready, used), used + AHEAD_BYTES // 8
                    if not await loop.run_in_executor(thread, prefault, heap, first, ready - first):
                        return  # this system cannot
            await asyncio.sleep(EVERY_SECONDS)
