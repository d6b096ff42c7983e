"""Stopping in order: callers are told to go elsewhere and are answered until they have.

After SIGTERM `/readyz` says 503 and every reply carries `Connection: close`, so that balancers and clients
leave; the port stays open until nobody has asked for a moment, at most `RISKGATE_DRAIN_SECONDS`. Closing it at
once would cut off requests that were on their way.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from serving.accepting import Acceptor

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
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and take in new connections in bulk."""
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            for listener in server.sockets:
                # uvloop shows its sockets only half: a handle of our own is made from the number.
                self._acceptors.append(Acceptor(listener.fileno(), self._connection))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, then end as uvicorn does."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

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
