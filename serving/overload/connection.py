"""A connection on which payments arrive: they are admitted, or refused, before they are parsed.

uvicorn would make a task of every request as soon as it is read, and the tasks would wait, unseen, in the
event loop. Here plain payments go into the `Backlog` first. Their age is the kernel's: it notes when data
comes, however late the process looks. From there they go a short way: no ASGI (serving/overload/fast_path.py).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from serving.access.loopback_only import is_loopback
from serving.api.asgi import ADMITTED
from serving.overload.admission_queue import Backlog, ShortWay
from serving.overload.load_shedding import Admitted
from serving.overload.plain_head import Heads, PlainHead
from serving.server.bounded_http import BoundedHttp

LATER_LARGEST = 1 << 20
#: How long the rest of a body is awaited here, where the payment can still be shed.
WHOLE_SECONDS = 0.05

#: struct tcp_info: milliseconds since the last data arrived (linux/tcp.h).
_LAST_DATA_MS = struct.Struct("<52xI")


class Arrival(BoundedHttp):
    """One connection; what is no plain payment goes uvicorn's way."""

    backlog: Backlog

    def connection_made(self, transport: Any) -> None:
        """Keep the socket at hand, to ask the kernel when its data came."""
        super().connection_made(transport)
        self.waits = False  # a payment of this connection is in the queue or on the short way
        self._later = b""
        self._heads = Heads()
        self._inside = False  # uvicorn's parser is inside a request
        self._admitted: Admitted | None = None
        self._closing = False
        self._whole: asyncio.TimerHandle | None = None
        self._seen = 0.0
        self._tcp: socket.socket | None = None
        known = transport.get_extra_info("socket")
        if known is not None and known.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_INFO"):
            self._tcp = socket.socket(known.family, known.type, known.proto, fileno=known.fileno())

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport closes the socket, not we."""
        if self._whole is not None:
            self._whole.cancel()
        if self._tcp is not None:
            self._tcp.detach()
            self._tcp = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the caller."""
        self._seen = self.loop.time()
        if self._silent:
            self.begin_to_hear()
        if self.waits:
            self._later += data
            if len(self._later) > LATER_LARGEST:  # nobody pipelines so much
                self.transport.close()
            return
        if self._later:
            data, self._later = self._later + data, b""
            if self._whole is not None:
                self._whole.cancel()
                self._whole = None
        head = None if self.backlog.leaving or self._inside or not self._idle() else self._heads.read(data)
        if head is None or not (self.backlog.keyed or is_loopback(head.host)):
            super().data_received(data)
            return
        missing = head.body_at + head.content_length - len(data)
        if missing < 0 or head.content_length > self.backlog.body_limit_bytes:
            super().data_received(data)
        elif missing:  # the rest of the body is on its way: it may come at once
            self._later = data
            if self._whole is None:
                self._whole = self.loop.call_later(WHOLE_SECONDS, self._give_up)
        else:
            self._head_since = None
            self.backlog.take(self, data, head)

    def _give_up(self) -> None:
        """The body does not come: uvicorn may wait for it, and the application may lose patience."""
        self._whole = None
        if self._later and not self.waits and not self._inside and not self.transport.is_closing():
            later, self._later = self._later, b""
            super().data_received(later)

    def go_on(self, data: bytes, admitted: Admitted) -> None:
        """Let a payment go uvicorn's way, into the application."""
        self.waits = False
        self._admitted = admitted
        if self._closing:  # the server stops after this one
            self._closing = False
            super().data_received(data)
            super().shutdown()
            return
        super().data_received(data)
        if self._later:
            later, self._later = self._later, b""
            self.data_received(later)

    def go_short(self, short_way: ShortWay, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        """Decide a payment without a task of its own."""
        self.waits = True
        short_way(head.authorization, data[head.body_at :], admitted, self._reply)

    def on_message_begin(self) -> None:
        """uvicorn's parser began with a request."""
        self._inside = True
        super().on_message_begin()
        if self._admitted is not None:
            self.scope[ADMITTED] = self._admitted  # type: ignore[literal-required]
            self._admitted = None

    def on_message_complete(self) -> None:
        """uvicorn's parser is done with a request."""
        self._inside = False
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close after the reply that is under way."""
        if self.waits:
            self._closing = True
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for as long as it may be; the short way does not touch the timer."""
        left = self._seen + self.timeout_keep_alive - self.loop.time()
        if left > 0.1 or self.waits:
            self.timeout_keep_alive_task = self.loop.call_later(max(left, 1.0), self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _reply(self, reply: bytes) -> None:
        self.waits = False
        if self.transport.is_closing():
            return
        self.transport.write(reply)
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._closing:
            self.transport.close()
        elif self._later:  # in a turn of its own: the ledger may be in the middle of writing
            self.loop.call_soon(self._hear_later)

    def _hear_later(self) -> None:
        if self._later and not self.waits and not self.transport.is_closing():
            later, self._later = self._later, b""
            self.data_received(later)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def age_ms(self) -> float:
        """How long the data has waited in the kernel, milliseconds (in the steps of its clock)."""
        if self._tcp is None:
            return 0.0
        try:
            (age,) = _LAST_DATA_MS.unpack_from(self._tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56))
        except OSError:
            return 0.0
        return float(age)


def protocol_of(backlog: Backlog) -> type[Arrival]:
    """The protocol for uvicorn's `http` setting."""
    return type("Arrival", (Arrival,), {"backlog": backlog})
