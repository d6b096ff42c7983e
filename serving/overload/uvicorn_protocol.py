"""Installs our protocol class in BentoML's worker.

BentoML 1.4.39 builds `uvicorn.Config(app, ...)` without a choice of protocol, so uvicorn looks up `"auto"` in
`uvicorn.config.HTTP_PROTOCOLS`. The worker imports the service before that, and the service calls `install`;
`tests/serving/bento/test_bentoml_conformance.py` pins this for the pinned versions.

With the fast path, plain payments wait in the admission queue and are decided without ASGI
(serving/overload/connection.py); without it every request goes through BentoML's application. Both keep the bounds on
heads and the keep-alive of serving/server/bounded_http.py.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import uvicorn
import uvicorn.config
from uvicorn.server import ServerState

from serving.overload.admission_queue import AdmissionQueue
from serving.overload.connection import protocol_of
from serving.server.bounded_http import BoundedHttp


def install(queue: AdmissionQueue, *, fast: bool) -> type[BoundedHttp]:
    """Make uvicorn in this process use the returned protocol class; `fast`: with the fast path."""
    protocol = protocol_of(queue) if fast else bounded()
    # Typed as import strings; uvicorn takes a class as it is (uvicorn.importer.import_from_string).
    cast(dict[str, Any], uvicorn.config.HTTP_PROTOCOLS)["auto"] = protocol
    return protocol


def bounded() -> type[BoundedHttp]:
    """A new protocol class without the fast path."""
    return type("Bounded", (BoundedHttp,), {})


class OwnPort:
    """A second port on loopback that only this worker listens on, for its own metrics and readiness."""

    def __init__(self, listener: socket.socket, app: Any, keep_alive_seconds: int) -> None:
        self._listener = listener
        self._config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", access_log=False)
        self._protocol = bounded()
        self._protocol.keep_alive_seconds = keep_alive_seconds
        self._state = ServerState()
        self._server: Any = None

    async def open(self) -> None:
        """Listen on the port."""
        self._config.load()

        def make() -> BoundedHttp:
            return self._protocol(config=self._config, server_state=self._state, app_state={})

        self._server = await asyncio.get_running_loop().create_server(make, sock=self._listener)

    def close(self) -> None:
        """Stop listening and close the connections."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._state.connections):
                connection.shutdown()
