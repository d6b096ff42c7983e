"""Word of one event from the ledger: whether it is in the file, told at once to whoever waits for it.

A future would tell in the next turn of the event loop, when other payments have been decided first, and cost a
callback of the loop for each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any

log = logging.getLogger("riskgate.ledger")

#: Told once with the word itself; must not decide payments, for others may be in the middle of writing.
Told = Callable[["Recorded"], object]


class Recorded:
    """Settled once, in the thread of the event loop; awaiting it raises what went wrong."""

    __slots__ = ("_error", "_settled", "_told")

    def __init__(self) -> None:
        self._settled = False
        self._error: Exception | None = None
        self._told: list[Told] = []

    def done(self) -> bool:
        """Whether there is word."""
        return self._settled

    def error(self) -> Exception | None:
        """What went wrong; None while there is no word, and when it is recorded."""
        return self._error

    def when_done(self, told: Told) -> None:
        """Tell that one as soon as there is word; at once if there is."""
        if self._settled:
            told(self)
        else:
            self._told.append(told)

    def settle(self, error: Exception | None = None) -> None:
        """Give word; only the first counts."""
        if self._settled:
            return
        self._settled, self._error = True, error
        told, self._told = self._told, []
        for one in told:
            try:
                one(self)
            except Exception:  # the others wait too
                log.exception("what waited for an event failed")

    def __await__(self) -> Generator[Any, None, None]:
        """Wait for word; a waiter that is cancelled takes nothing from the others."""
        if not self._settled:
            future = asyncio.get_running_loop().create_future()
            self.when_done(lambda _: None if future.done() else future.set_result(None))
            yield from future
        if self._error is not None:
            raise self._error.with_traceback(None)  # one error for many waiters: none sees another's frames
