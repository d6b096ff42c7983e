"""Completion handle for one append; callbacks run in the commit's own turn of the event loop.

A future would call back in the next turn, after other payments were decided, and cost one loop callback per event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any

log = logging.getLogger("riskgate.ledger")

#: Called once with the settled ticket; must not decide payments, because the commit may still settle other tickets.
DoneCallback = Callable[["CommitTicket"], object]


class CommitTicket:
    """Settled once, in the thread of the event loop; awaiting it raises the error of the commit."""

    __slots__ = ("_callbacks", "_error", "_settled")

    def __init__(self) -> None:
        self._settled = False
        self._error: Exception | None = None
        self._callbacks: list[DoneCallback] = []

    def done(self) -> bool:
        """Whether the ticket is settled."""
        return self._settled

    def error(self) -> Exception | None:
        """The error of the commit; None before it, and when the event is recorded."""
        return self._error

    def add_done_callback(self, callback: DoneCallback) -> None:
        """Call back when the ticket settles; immediately if it has."""
        if self._settled:
            callback(self)
        else:
            self._callbacks.append(callback)

    def settle(self, error: Exception | None = None) -> None:
        """Settle and run the callbacks; only the first call counts."""
        if self._settled:
            return
        self._settled, self._error = True, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(self)
            except Exception:  # the other callbacks must still run
                log.exception("a callback of a commit failed")

    def __await__(self) -> Generator[Any, None, None]:
        """Wait for the commit; cancelling one waiter does not affect the others."""
        if not self._settled:
            future = asyncio.get_running_loop().create_future()
            self.add_done_callback(lambda _: None if future.done() else future.set_result(None))
            yield from future
        if self._error is not None:
            raise self._error.with_traceback(None)  # shared by many waiters: each starts a traceback of its own
