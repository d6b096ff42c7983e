"""The state finds memory where it grows, whichever heap it has by then."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from serving.state.heap_prefault import AHEAD_BYTES, STEP_BYTES, run_prefault


class Held:
    """All that is asked of a state: its heap, whose first word is how much of it is used."""

    def __init__(self, used: int) -> None:
        self.heap = np.zeros(16, np.int64)
        self.heap[0] = used


def test_memory_beyond_the_used_heap_is_prefaulted() -> None:
    asked: list[tuple[bool, int, int]] = []
    words, step = AHEAD_BYTES // 8, STEP_BYTES // 8
    first, second = Held(100), Held(7)
    now: Any = None
    looks = 0

    def state() -> Any:
        nonlocal looks
        looks += 1
        return now

    def prefault(heap: Any, at: int, count: int) -> bool:
        asked.append((heap is first.heap, at, count))
        return len(asked) < 4

    async def look() -> None:
        """Let the task look at the state, and act on what it found: it looks again afterwards."""
        last = looks + 2
        async with asyncio.timeout(5):
            while looks < last:
                await asyncio.sleep(0.001)

    async def run() -> None:
        nonlocal now
        ahead = asyncio.create_task(run_prefault(state, every_seconds=0.001, prefault=prefault))
        await look()
        assert asked == []
        now = first
        await look()
        assert asked == [(True, 100, words)]
        first.heap[0] += step - 1  # there is enough yet
        await look()
        assert len(asked) == 1
        first.heap[0] += 1
        await look()
        assert asked[1:] == [(True, 100 + words, step)]
        now = second  # folded again
        await look()
        assert asked[2:] == [(False, 7, words)]
        second.heap[0] += 2 * words  # the system refuses: no further call
        await asyncio.wait_for(ahead, 5)
        assert len(asked) == 4

    asyncio.run(run())
