"""Stopping in order: callers are told to go elsewhere and are answered until they have.

After SIGTERM `/readyz` says 503 and every reply carries `Connection: close`, so that balancers and clients
leave; the port stays open until nobody has asked for a moment, at most `RISKGATE_DRAIN_SECONDS`. Closing it at
once would cut off requests that were on their way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

log = logging.getLogger("riskgate")

#: Without a request for so long, callers are gone.
QUIET_SECONDS = 0.25


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which lets callers leave before it closes the port."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float, leaving: Callable[[], None]) -> None:
        super().__init__(config)
        self.drain_seconds = drain_seconds
        self.leaving = leaving
        self._until: float | None = None
        self._quiet_since = 0.0
        self._requests = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins to drain, the second ends at once."""
        if self._until is not None or not self.started:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self.leaving()
        self._until = time.monotonic() + self.drain_seconds
        self._quiet_since, self._requests = time.monotonic(), self.server_state.total_requests

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to close the port now."""
        if await super().on_tick(counter):
            return True
        if self._until is None:
            return False
        now, requests = time.monotonic(), self.server_state.total_requests
        if requests != self._requests:
            self._quiet_since, self._requests = now, requests
        if now < self._until and now - self._quiet_since < QUIET_SECONDS:
            return False
        log.info("the port closes: %s", "callers have left" if now < self._until else "the time to drain is over")
        return True
