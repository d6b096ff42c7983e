"""Draining: after SIGTERM the service keeps answering until its callers have moved to other processes.

`/readyz` then answers 503 and every reply carries `Connection: close`, so that balancers and clients move on. The port
stays open for a minimum time, because a balancer notices only at its next probe, and then until no request has come
for a moment, at most `RISKGATE_DRAIN_SECONDS`. Closing the port earlier would cut off requests on their way.

The server belongs to BentoML's worker: its signal handlers are kept, and called when draining is over.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

log = logging.getLogger("riskgate")

#: Without a request for this long, the callers have moved on.
QUIET_SECONDS = 0.25
LOOK_EVERY_SECONDS = 0.05


class Drainable(Protocol):
    """What is drained."""

    requests: int

    def drain(self) -> None:
        """Ask every caller to go elsewhere, and keep answering."""


class Drain:
    """Replaces the server's signal handlers; the first signal begins draining, the second ends it immediately."""

    def __init__(
        self,
        application: Drainable,
        min_seconds: float,
        max_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the port open for `min_seconds` of `clock` after SIGTERM, and never longer than `max_seconds`."""
        self.application = application
        self._clock = clock
        self.min_seconds = min(min_seconds, max_seconds)
        self.max_seconds = max_seconds
        #: Called just before the server stops.
        self.before_end: list[Callable[[], None]] = []
        self._server_handlers: dict[int, Any] = {}
        self._task: asyncio.Task[None] | None = None  # held, for the event loop holds tasks only weakly
        self._draining = False
        self._loop = asyncio.get_running_loop()

    def install(self) -> None:
        """Handle SIGTERM and SIGINT from now on; only possible in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._server_handlers[number] = signal.signal(number, self._on_signal)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Stop the server now."""
        for close in self.before_end:
            close()
        self.before_end.clear()
        handler = self._server_handlers.get(number)
        if callable(handler):
            handler(number, None)
        else:  # the server has no handler for this signal
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.raise_signal(number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._draining:
            self.end(number)
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self.application.drain()
        # Ctrl-C (SIGINT) comes from a person who waits; an orchestrator sends SIGTERM.
        min_seconds = self.min_seconds if number == signal.SIGTERM else 0.0
        self._task = self._loop.create_task(self._drain(number, min_seconds))

    async def _drain(self, number: int, min_seconds: float) -> None:
        began = quiet_since = self._clock()
        requests = self.application.requests
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            now = self._clock()
            if self.application.requests != requests:
                quiet_since, requests = now, self.application.requests
            quiet = now - quiet_since >= QUIET_SECONDS
            if now - began >= self.max_seconds or (quiet and now - began >= min_seconds):
                log.info("the port closes: %s", "callers have left" if quiet else "the time to drain is over")
                break
        self._task = None
        self.end(number)
