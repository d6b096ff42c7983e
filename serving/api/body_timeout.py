"""Ends the wait for a body that takes too long: one timer for all requests instead of one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from serving.errors import SlowBody

#: A caller in the same data centre needs milliseconds; below the second after which BentoML would answer itself.
BODY_SECONDS = 0.8
_LOOKS = 8

T = TypeVar("T")


class Patience:
    """Waits for bodies, each for so many seconds at most (up to an eighth more)."""

    def __init__(self, seconds: float = BODY_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._ended: set[asyncio.Task[Any]] = set()
        self._next_look = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def wait_for(self, reading: Coroutine[Any, Any, T]) -> T:
        """What `reading` returns.

        Raises: SlowBody when that takes too long.
        """
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        self._waiting[task] = loop.time() + self._seconds
        if self._timer is None:
            self._look_later(loop)
        try:
            return await reading
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise SlowBody(
                f"The body was not complete within {self._seconds:g} seconds.", "Send the whole request at once."
            ) from None
        finally:
            self._ended.discard(task)
            del self._waiting[task]

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next_look = loop.time() + self._seconds / _LOOKS
        self._timer = loop.call_at(self._next_look, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        # A stall of ours is no slowness of the caller: what came meanwhile has not even been read.
        late = now - self._next_look
        allowance = late if late > self._seconds / _LOOKS else 0.0
        for task, until in self._waiting.items():
            if allowance:
                self._waiting[task] = until + allowance
            elif until <= now and task not in self._ended:
                self._ended.add(task)
                task.cancel()
        self._timer = None
        if self._waiting:
            self._look_later(loop)
