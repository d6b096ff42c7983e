"""HTTP as uvicorn speaks it, with bounds on what comes before a body: how long, how many lines, how slowly.

The parser itself has none: without them one connection could fill the memory with headers, or a thousand
silent ones could hold every file descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.headers import ALWAYS
from serving.messages import Error, ErrorBody

HEAD_LARGEST_BYTES = 16_384
HEADERS_MOST = 64
HEAD_SECONDS = 3.0


#: Connections for which the kernel's table of descriptors has room from the start.
ROOM = 8_192


def make_room_for_connections() -> None:
    """Let that table grow before the first caller: in a process with threads `accept` waits 4 ms each time it doubles.

    A thousand connections that come at once, as they do when a rush begins, made payments wait five times.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with contextlib.suppress(OSError), open(os.devnull, "rb") as any_file:
        os.close(fcntl.fcntl(any_file, fcntl.F_DUPFD_CLOEXEC, (min(ROOM, most) if most > 0 else ROOM) - 1))


class HeadTooLarge(Exception):
    """The request line and headers are longer than allowed."""


class BoundedHttp(HttpToolsProtocol):
    """One connection; what breaks a bound is answered in the one error shape, and the connection ends."""

    _timer: asyncio.TimerHandle | None = None
    #: When the head now awaited began, monotonic seconds; None while a body or a reply is under way.
    _head_since: float | None = None
    _head_bytes = 0
    _head_is_new = True
    _too_large = False
    #: Nothing was ever said: a caller may open connections ahead, and finds them open as long as kept ones are.
    _silent = True
    #: Of all connections: seconds until an idle one is closed; 0: as the server that made it says.
    keep_alive_seconds = 0
    #: Called once, with what makes further connections, when the server has made the first.
    on_first: Callable[[Callable[[], BoundedHttp]], None] | None = None

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False  # its line would be built for every reply, and our log has none of them
        if self.keep_alive_seconds:
            self.timeout_keep_alive = self.keep_alive_seconds
        own = type(self)
        if own.on_first is not None:
            first, own.on_first = own.on_first, None
            first(lambda: own(config, server_state, app_state))

    def connection_made(self, transport: Any) -> None:
        """A connection that says nothing is given up too, without a word: a 408 would be taken for a reply later."""
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._look)

    def begin_to_hear(self) -> None:
        """The first data have come: from here on the head must end soon."""
        self._silent, self._head_since = False, self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        since = self._head_since
        patience = self.timeout_keep_alive if self._silent else HEAD_SECONDS
        if since is None or self.loop.time() - since < patience:
            self._timer = self.loop.call_later(HEAD_SECONDS / 3, self._look)
        elif self._silent:
            self.transport.close()
        else:
            self._refuse(408, "slow_request", f"The request's head was not there within {HEAD_SECONDS:g} seconds.")

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that began with earlier data must end soon."""
        self._head_is_new = False
        if self._silent:
            self.begin_to_hear()
        super().data_received(data)
        if self._head_since is not None and not self._head_is_new:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LARGEST_BYTES and not self.transport.is_closing():
                self._refuse_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_since, self._head_bytes, self._head_is_new = self.loop.time(), 0, True

    def on_headers_complete(self) -> None:
        """The head is complete; the application is called."""
        self._head_since = None
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
        if size > HEAD_LARGEST_BYTES or len(self.headers) > HEADERS_MOST:
            self._too_large = True
            raise HeadTooLarge
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it, in the one error shape."""
        if self._too_large:
            self._refuse_head()
        else:
            self._refuse(400, "malformed", "This is not an HTTP request.")

    def _refuse_head(self) -> None:
        most = f"{HEADERS_MOST} headers and {HEAD_LARGEST_BYTES} bytes"
        self._refuse(431, "head_too_large", f"The request line and headers are more than {most}.")

    def _refuse(self, status: int, code: str, message: str) -> None:
        error = Error(ErrorBody(code, message, "Send a request as the document at /openapi.json describes it."))
        body = msgspec.json.encode(error)
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
            *(name + b": " + value for name, value in ALWAYS),
        ]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()
