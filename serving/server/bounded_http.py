"""uvicorn's HTTP protocol with bounds on the head of a request: size, number of headers, time.

uvicorn has none of them: one connection could fill the memory with headers, and a thousand silent ones could hold every
file descriptor. It also accepts more than RFC 9112 allows (serving/server/head_faults.py), drops the body of a request
that offers an upgrade, and treats a trailer as a header.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import random
import resource
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.messages import Error, ErrorBody
from serving.server.head_faults import Fault, authority_of, fault_in
from serving.server.headers import ALWAYS, date_line
from serving.tracing.request_trace import request_trace

#: Set in the scope of the last request of a connection: its reply closes it.
LAST = "riskgate.last"
MAX_HEAD_BYTES = 16_384
MAX_HEADERS = 64
HEAD_SECONDS = 3.0
REPAIR = "Send a request as the document at /openapi.json describes it."


#: Initial size of the kernel's table of file descriptors.
DESCRIPTORS = 8_192


def presize_descriptor_table() -> None:
    """Grow that table before the first connection: in a process with threads `accept` waits 4 ms when it doubles.

    A burst of a thousand new connections made payments wait five times.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    wanted = min(DESCRIPTORS, limit) if limit > 0 else DESCRIPTORS
    with contextlib.suppress(OSError), open(os.devnull, "rb") as any_file:
        os.close(fcntl.fcntl(any_file, fcntl.F_DUPFD_CLOEXEC, wanted - 1))


TOO_LARGE = Fault(
    431,
    "head_too_large",
    f"The request line and headers are more than {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes.",
    REPAIR,
)
NOT_HTTP = Fault(400, "malformed", "This is not an HTTP request.", REPAIR)
#: Parser errors whose text is a fixed sentence; others quote the request, which may hold card numbers.
EXPLAINED_ERRORS = (httptools.HttpParserError, httptools.HttpParserInvalidMethodError)
SLOW = Fault(408, "slow_request", f"The request's head was not there within {HEAD_SECONDS:g} seconds.", REPAIR)


class FaultyHead(Exception):
    """A head that is refused; `BoundedHttp` holds the reason."""


class BoundedHttp(HttpToolsProtocol):
    """One connection; a request beyond a bound is answered with an error, and the connection is closed."""

    _timer: asyncio.TimerHandle | None = None
    #: When the head now awaited began, monotonic seconds; None while a body or a reply is under way.
    _head_since: float | None = None
    _head_bytes = 0
    _head_is_new = True
    #: The head is complete: the parser's further headers are trailers.
    _head_is_over = False
    _fault = NOT_HTTP
    #: The application was called with the request being parsed, and waits for the rest of its body.
    _called = False
    #: The request before that one, and the request after whose reply the connection ends with `_refusal`.
    _before: RequestResponseCycle | None = None
    _last: RequestResponseCycle | None = None
    _refusal: bytes | None = None
    #: The head of a request that offers an upgrade, without the offer.
    _without_offer: bytes | None = None
    #: No data has come yet: such a connection may stay open as long as an idle one.
    _silent = True
    #: Seconds until an idle connection is closed; 0: uvicorn's setting.
    keep_alive_seconds = 0
    #: Seconds after which a connection ends with its next reply, within a quarter: callers then connect again, and load
    #: spreads again over processes that came later. 0: never.
    connection_seconds = 0
    #: When this one does, monotonic seconds.
    ends_at = math.inf
    #: Called once, on the first connection, with a factory for further connections.
    on_first: Callable[[Callable[[], BoundedHttp]], None] | None = None

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False  # no access log: its line would be built for every reply
        if self.keep_alive_seconds:
            self.timeout_keep_alive = self.keep_alive_seconds
        own = type(self)
        if own.on_first is not None:
            first, own.on_first = own.on_first, None
            first(lambda: own(config, server_state, app_state))

    def connection_made(self, transport: Any) -> None:
        """Start the timer; a silent connection is closed without a 408, which could match the client's next request."""
        super().connection_made(transport)
        if self.connection_seconds:
            self.ends_at = self.loop.time() + self.connection_seconds * random.uniform(0.75, 1.25)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._check_timeout)

    def start_head(self) -> None:
        """The first data have come: the head must be complete within `HEAD_SECONDS`."""
        self._silent, self._head_since = False, self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _check_timeout(self) -> None:
        since = self._head_since
        timeout = self.timeout_keep_alive if self._silent else HEAD_SECONDS
        if since is None or self.loop.time() - since < timeout:
            self._timer = self.loop.call_later(HEAD_SECONDS / 3, self._check_timeout)
        elif self._silent:
            self.transport.close()
        else:
            self._refuse(SLOW)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and bound a head that began with earlier data."""
        if self._refusal is not None:  # the start of the next request is unknown
            return
        self._head_is_new = False
        if self._silent:
            self.start_head()
        size = len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._head_since is not None and not self._head_is_new:
            self._head_bytes += size
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(TOO_LARGE)

    def _feed(self, data: bytes) -> None:
        """Like uvicorn, but ignore the offer of an upgrade (RFC 9110 §7.8) and read the body.

        Java's HttpClient sends such an offer (`Upgrade: h2c`) unless it is set to HTTP/1.1.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                head, self._without_offer = self._without_offer or b"", None
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                data = head + data[stopped.args[0] :]
            except httptools.HttpParserError as error:
                self.logger.warning("Invalid HTTP request received.")
                if type(error) in EXPLAINED_ERRORS:
                    self._fault = Fault(400, "malformed", f"This is not an HTTP request: {error}.", REPAIR)
                self.send_400_response("")
                return
            else:
                return

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self.loop.time() > self.ends_at:
            self.scope[LAST] = True  # type: ignore[literal-required]
        self._head_since, self._head_bytes, self._head_is_new = self.loop.time(), 0, True
        self._head_is_over = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header without whitespace around its value; drop a trailer (RFC 9110 §6.5.1)."""
        if not self._head_is_over:
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """Check the head, then call the application."""
        self._head_since, self._head_is_over = None, True
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._fault = TOO_LARGE
            raise FaultyHead
        fault = fault_in(method, self.url, version, self.headers)
        if fault is not None:
            self._fault = fault
            raise FaultyHead
        if self.parser.should_upgrade():
            lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            self._without_offer = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version.encode(), b"".join(lines))
            return
        if (authority := authority_of(self.url)) is not None:  # it replaces `Host` (RFC 9112 §3.2.2)
            self.headers[:] = [header for header in self.headers if header[0] != b"host"] + [(b"host", authority)]
        self._before = self.cycle
        super().on_headers_complete()
        self._called = True

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._called = False
        if self._without_offer is None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """A reply was sent; close the connection if it was the last one."""
        super().on_response_complete()
        self._end()

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed or too large request with an error body."""
        self._refuse(self._fault)

    def _refuse(self, fault: Fault) -> None:
        """End the connection with this reply, after the replies to earlier requests on it."""
        if self._refusal is not None:
            return
        self._refusal, self._last = _refusal_of(fault), self.cycle
        if self._called:  # the fault is in the body: the refusal is the reply to that request
            faulty, self._last, self._called = self.cycle, self._before, False
            if faulty.response_started:
                self._refusal = b""
            faulty.disconnected = True
            faulty.message_event.set()
            if self.pipeline and self.pipeline[0][0] is faulty:
                self.pipeline.popleft()
        self._end()

    def _end(self) -> None:
        if self._refusal is None or self.transport.is_closing():
            return
        if self._last is None or self._last.response_complete:
            self.transport.write(self._refusal)
            self.transport.close()


def _refusal_of(fault: Fault) -> bytes:
    body = msgspec.json.encode(Error(ErrorBody(fault.code, fault.message, fault.repair)))
    lines = [
        f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}".encode(),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"connection: close",
        date_line().rstrip(),
        request_trace(None, None).lines().rstrip(),  # the head was not understood: a new id
        *(name + b": " + value for name, value in ALWAYS),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
