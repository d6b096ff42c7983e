"""The state finds memory where it grows, whichever heap it has by then."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import numpy as np
import pytest

from serving.state import heap_prefault


class Held:
    """All that is asked of a state: its heap, whose first word is how much of it is used."""

    def __init__(self, used: int) -> None:
        self.heap = np.zeros(16, np.int64)
        self.heap[0] = used


def test_memory_beyond_the_used_heap_is_prefaulted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, int, int]] = []
    words, step = heap_prefault.AHEAD_BYTES // 8, heap_prefault.STEP_BYTES // 8
    first, second = Held(100), Held(7)
    now: list[Any] = [None]

    def prefault(heap: Any, at: int, count: int) -> bool:
        asked.append((heap is first.heap, at, count))
        return len(asked) < 4

    monkeypatch.setattr(heap_prefault, "prefault", prefault)
    monkeypatch.setattr(heap_prefault, "EVERY_SECONDS", 0.001)

    async def run() -> None:
        ahead = asyncio.create_task(heap_prefault.run_prefault(lambda: now[0]))
        await asyncio.sleep(0.02)
        assert asked == []
        now[0] = first
        await asyncio.sleep(0.05)
        assert asked == [(True, 100, words)]
        first.heap[0] += step - 1  # there is enough yet
        await asyncio.sleep(0.05)
        assert len(asked) == 1
        first.heap[0] += 1
        await asyncio.sleep(0.05)
        assert asked[1:] == [(True, 100 + words, step)]
        now[0] = second  # folded again
        await asyncio.sleep(0.05)
        assert asked[2:] == [(False, 7, words)]
        second.heap[0] += 2 * words  # the system refuses: no further call
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ahead, 5)
        assert ahead.done() and len(asked) == 4

    asyncio.run(run())
