"""Pre-faults heap pages in the background so that no payment pays for a page fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from features.kernel.heap import Words, prefault
from features.state.memory import State
from serving.ledger.sqlite.low_priority import low_priority_executor

EVERY_SECONDS = 0.1
#: Bytes kept ready beyond the used heap (more than it grows within an interval), and the largest step: small steps
#: take little time from payments.
AHEAD_BYTES, STEP_BYTES = 32 << 20, 2 << 20


async def run_prefault(
    state: Callable[[], State | None],
    *,
    every_seconds: float = EVERY_SECONDS,
    prefault: Callable[[Words, int, int], bool] = prefault,
) -> None:
    """Pre-fault in a low-priority thread until cancelled; the heap may be replaced meanwhile.

    `state` is asked every `every_seconds`; `prefault` pre-faults words of the heap from a first one on, or returns
    False, which ends the task.
    """
    loop, heap, ready = asyncio.get_running_loop(), None, 0
    # On slow memory this takes 80 ms of CPU, which payments need first.
    with low_priority_executor("heap-prefault") as thread:
        while True:
            now = state()
            if now is not None:
                if now.heap is not heap:
                    heap, ready = now.heap, int(now.heap[0])
                used = int(heap[0])
                if 8 * (ready - used) <= AHEAD_BYTES - STEP_BYTES:
                    first, ready = max(ready, used), used + AHEAD_BYTES // 8
                    if not await loop.run_in_executor(thread, prefault, heap, first, ready - first):
                        return  # not supported here
            await asyncio.sleep(every_seconds)
