"""A timeout for request bodies: one timer for all requests instead of one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from serving.errors import SlowBody

#: Ample for a caller in the same data centre, and less than the second after which BentoML would answer itself.
BODY_SECONDS = 0.8
_CHECKS = 8

T = TypeVar("T")


class BodyTimeout:
    """Waits for bodies, for each at most this many seconds (up to an eighth more)."""

    def __init__(self, seconds: float = BODY_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._timed_out: set[asyncio.Task[Any]] = set()
        self._next_check = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def wait_for(self, reading: Coroutine[Any, Any, T]) -> T:
        """The result of `reading`.

        Raises: SlowBody when it takes too long.
        """
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        self._waiting[task] = loop.time() + self._seconds
        if self._timer is None:
            self._schedule_check(loop)
        try:
            return await reading
        except asyncio.CancelledError:
            if task not in self._timed_out:
                raise
            task.uncancel()
            raise SlowBody(
                f"The body was not complete within {self._seconds:g} seconds.", "Send the whole request without pauses."
            ) from None
        finally:
            self._timed_out.discard(task)
            del self._waiting[task]

    def _schedule_check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next_check = loop.time() + self._seconds / _CHECKS
        self._timer = loop.call_at(self._next_check, self._check, loop)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        # A stall of this process does not count against callers: what they sent meanwhile is not read yet.
        late = now - self._next_check
        allowance = late if late > self._seconds / _CHECKS else 0.0
        for task, until in self._waiting.items():
            if allowance:
                self._waiting[task] = until + allowance
            elif until <= now and task not in self._timed_out:
                self._timed_out.add(task)
                task.cancel()
        self._timer = None
        if self._waiting:
            self._schedule_check(loop)
