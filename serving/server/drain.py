"""Stopping in order: callers are sent elsewhere and are answered until they have left.

After SIGTERM `/readyz` says 503 and every reply carries `Connection: close`, so that balancers and clients
leave. The port stays open for a minimum, for a balancer needs a moment to learn of it even when no request is
under way, and then until no request came for a moment, at most `RISKGATE_DRAIN_SECONDS`. Closing it earlier would
cut off requests that were on their way.

The server belongs to BentoML's worker: its own signal handler is kept and called when draining is over.
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

#: Without a request for so long, callers are gone.
QUIET_SECONDS = 0.25
LOOK_EVERY_SECONDS = 0.05


class Leaving(Protocol):
    """What is drained."""

    requests: int

    def leave(self) -> None:
        """Send every caller elsewhere, and go on answering."""
        ...


class Drain:
    """Stands before the server's signal handlers; the first signal begins to drain, the second ends immediately."""

    def __init__(self, leaving: Leaving, least_seconds: float, most_seconds: float) -> None:
        """Keep the port open for `least_seconds` after SIGTERM, and never longer than `most_seconds`."""
        self.leaving = leaving
        self.least_seconds = min(least_seconds, most_seconds)
        self.most_seconds = most_seconds
        #: What is done just before the server stops.
        self.before_end: list[Callable[[], None]] = []
        self._server: dict[int, Any] = {}
        self._task: asyncio.Task[None] | None = None  # held, for the event loop holds tasks only weakly
        self._draining = False
        self._loop = asyncio.get_running_loop()

    def install(self) -> None:
        """Hear SIGTERM and SIGINT from here on; only the main thread hears signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._server[number] = signal.signal(number, self._hear)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Let the server stop now."""
        for close in self.before_end:
            close()
        self.before_end.clear()
        handler = self._server.get(number)
        if callable(handler):
            handler(number, None)
        else:  # the server left this signal alone
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.raise_signal(number)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._draining:
            self.end(number)
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self.leaving.leave()
        # A person who presses Ctrl-C waits in front of the screen; an orchestrator sends SIGTERM.
        least = self.least_seconds if number == signal.SIGTERM else 0.0
        self._task = self._loop.create_task(self._drain(number, least))

    async def _drain(self, number: int, least_seconds: float) -> None:
        began = quiet_since = time.monotonic()
        requests = self.leaving.requests
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            now = time.monotonic()
            if self.leaving.requests != requests:
                quiet_since, requests = now, self.leaving.requests
            quiet = now - quiet_since >= QUIET_SECONDS
            if now - began >= self.most_seconds or (quiet and now - began >= least_seconds):
                log.info("the port closes: %s", "callers have left" if quiet else "the time to drain is over")
                break
        self._task = None
        self.end(number)
