"""A connection on which payments arrive: they are admitted, or refused, before they are parsed.

uvicorn would make a task of every request as soon as it is read, and the tasks would wait, unseen, in the
event loop. Here plain payments go into the `Backlog` first. Their age is the kernel's: it notes when data
comes, however late the process looks. From there they go a short way: no ASGI (serving/short_way.py).
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from typing import Any

from serving.backlog import Backlog, ShortWay, key_in
from serving.listener import BoundedHttp
from serving.loopback_only import plainly_local
from serving.shed import ADMITTED, Admitted

_SCORE = b"POST /v1/score HTTP/1.1\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})(?=\r\n)", re.IGNORECASE)
#: Heads with these go uvicorn's way: they need more than one look.
_UNUSUAL = re.compile(rb"\n(?:transfer-encoding|expect|upgrade|connection: *close|[ \t])", re.IGNORECASE)
LARGEST_HEAD = 8_192
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
        if self.backlog.leaving or self._inside or not data.startswith(_SCORE) or not self._idle():
            super().data_received(data)
            return
        end = data.find(b"\r\n\r\n", 0, LARGEST_HEAD)
        length = _LENGTH.findall(data, 0, end + 2) if end >= 0 else ()
        if (
            len(length) != 1
            or _UNUSUAL.search(data, 0, end)
            or data.count(b"\n", 0, end) != data.count(b"\r\n", 0, end)
            or not (self.backlog.keyed or plainly_local(data[: end + 2]))
        ):
            super().data_received(data)
            return
        size = int(length[0])
        missing = end + 4 + size - len(data)
        if missing < 0 or size > self.backlog.body_limit_bytes:
            super().data_received(data)
        elif missing:  # the rest of the body is on its way: it may come at once
            self._later = data
            if self._whole is None:
                self._whole = self.loop.call_later(WHOLE_SECONDS, self._give_up)
        else:
            self._head_since = None
            self.backlog.take(self, data, end + 4)

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

    def go_short(self, short_way: ShortWay, data: bytes, body_at: int, admitted: Admitted) -> None:
        """Decide a payment without a task of its own."""
        self.waits = True
        key = key_in(data, body_at) if self.backlog.keyed else None
        short_way(key, data[body_at:], admitted, self._reply)

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
