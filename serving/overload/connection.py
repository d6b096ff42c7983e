"""An HTTP connection that queues or refuses plain payments before they are parsed.

uvicorn would make a task of every request as soon as it is read, and the tasks would wait uncounted in the event loop.
Here plain payments go into the `AdmissionQueue` first. Their age comes from the kernel, which notes when data arrives,
however late the process reads it. From the queue they take the fast path, without ASGI (serving/overload/fast_path.py).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from serving.access.loopback_only import is_loopback
from serving.api.asgi import ADMITTED
from serving.overload.admission_queue import AdmissionQueue
from serving.overload.load_shedding import Admitted
from serving.overload.plain_head import HeadReader, PlainHead
from serving.overload.queued_payment import DecideFast
from serving.server.bounded_http import BoundedHttp

MAX_PIPELINED_BYTES = 1 << 20
#: How long this class waits for the rest of a body; after it uvicorn does, where the payment cannot be shed.
BODY_WAIT_SECONDS = 0.05

#: struct tcp_info: milliseconds since the last data arrived (linux/tcp.h).
_LAST_DATA_MS = struct.Struct("<52xI")


class PaymentConnection(BoundedHttp):
    """One connection; every request but a plain payment goes to uvicorn's parser."""

    queue: AdmissionQueue

    def connection_made(self, transport: Any) -> None:
        """Keep the socket, to ask the kernel when its data arrived."""
        super().connection_made(transport)
        self.busy = False  # a payment of this connection is in the queue or on the fast path
        self._pipelined = b""
        self._heads = HeadReader()
        self._in_parser = False  # uvicorn's parser is inside a request
        self._admitted: Admitted | None = None
        self._closing = False
        self._body_timer: asyncio.TimerHandle | None = None
        self._last_data = 0.0
        self._socket: socket.socket | None = None
        known = transport.get_extra_info("socket")
        if known is not None and known.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_INFO"):
            self._socket = socket.socket(known.family, known.type, known.proto, fileno=known.fileno())

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the socket; the transport closes it."""
        if self._body_timer is not None:
            self._body_timer.cancel()
        if self._socket is not None:
            self._socket.detach()
            self._socket = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the caller."""
        self._last_data = self.loop.time()
        if self._silent:
            self.start_head()
        if self.busy:
            self._pipelined += data
            if len(self._pipelined) > MAX_PIPELINED_BYTES:
                self.transport.close()
            return
        if self._pipelined:
            data, self._pipelined = self._pipelined + data, b""
            if self._body_timer is not None:
                self._body_timer.cancel()
                self._body_timer = None
        to_parser = self.queue.draining or self._in_parser or self._last_data > self.ends_at or not self._idle()
        head = None if to_parser else self._heads.read(data)
        if head is None or not (self.queue.keyed or is_loopback(head.host)):
            super().data_received(data)
            return
        missing = head.body_at + head.content_length - len(data)
        if missing < 0 or head.content_length > self.queue.body_limit_bytes:
            super().data_received(data)
        elif missing:  # the rest of the body usually follows immediately
            self._pipelined = data
            if self._body_timer is None:
                self._body_timer = self.loop.call_later(BODY_WAIT_SECONDS, self._body_timed_out)
        else:
            self._head_since = None
            self.queue.take(self, data, head)

    def _body_timed_out(self) -> None:
        """The body is late: hand the request to uvicorn, where the application's own timeout applies."""
        self._body_timer = None
        if self._pipelined and not self.busy and not self._in_parser and not self.transport.is_closing():
            pipelined, self._pipelined = self._pipelined, b""
            super().data_received(pipelined)

    def to_application(self, data: bytes, admitted: Admitted) -> None:
        """Hand a payment to uvicorn's parser and so to the application."""
        self.busy = False
        self._admitted = admitted
        if self._closing:  # the connection closes after this reply
            self._closing = False
            super().data_received(data)
            super().shutdown()
            return
        super().data_received(data)
        if self._pipelined:
            pipelined, self._pipelined = self._pipelined, b""
            self.data_received(pipelined)

    def to_fast_path(self, fast_path: DecideFast, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        """Decide a payment without a task of its own."""
        self.busy = True
        fast_path(head, data[head.body_at :], admitted, self._reply)

    def on_message_begin(self) -> None:
        """uvicorn's parser began with a request."""
        self._in_parser = True
        super().on_message_begin()
        if self._admitted is not None:
            self.scope[ADMITTED] = self._admitted  # type: ignore[literal-required]
            self._admitted = None

    def on_message_complete(self) -> None:
        """uvicorn's parser is done with a request."""
        self._in_parser = False
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close after the reply that is under way."""
        if self.busy:
            self._closing = True
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle too long; the fast path does not reset the timer, so compare here."""
        left = self._last_data + self.timeout_keep_alive - self.loop.time()
        if left > 0.1 or self.busy:
            self.timeout_keep_alive_task = self.loop.call_later(max(left, 1.0), self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _reply(self, reply: bytes) -> None:
        self.busy = False
        if self.transport.is_closing():
            return
        self.transport.write(reply)
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._closing:
            self.transport.close()
        elif self._pipelined:  # in a later turn: the ledger may be in the middle of a commit
            self.loop.call_soon(self._read_pipelined)

    def _read_pipelined(self) -> None:
        if self._pipelined and not self.busy and not self.transport.is_closing():
            pipelined, self._pipelined = self._pipelined, b""
            self.data_received(pipelined)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def age_ms(self) -> float:
        """How long the data has waited in the kernel, milliseconds (in steps of its clock)."""
        if self._socket is None:
            return 0.0
        try:
            (age,) = _LAST_DATA_MS.unpack_from(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56))
        except OSError:
            return 0.0
        return float(age)


def protocol_of(queue: AdmissionQueue) -> type[PaymentConnection]:
    """The protocol for uvicorn's `http` setting."""
    return type("PaymentConnection", (PaymentConnection,), {"queue": queue})
