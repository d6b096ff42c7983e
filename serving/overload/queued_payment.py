"""What waits in the admission queue, and the calls that decide, reject or refuse it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from serving.api.asgi import JSON, json_reply, raw_head
from serving.messages import Error, ErrorBody
from serving.overload.load_shedding import Admitted
from serving.overload.plain_head import PlainHead
from serving.server.headers import Header, date_line
from serving.tracing.request_trace import request_trace

REFUSAL = Error(
    ErrorBody(
        "overloaded",
        "More payments arrive than can be decided in time.",
        "Apply your own default and send less, or send again in a second.",
    )
)


class Refusal:
    """The reply to a payment that is refused because of overload: made once but for its date and its request's trace.

    It goes out thousands of times a second when nothing else helps.
    """

    def __init__(self, always: tuple[Header, ...]) -> None:
        reply = json_reply(REFUSAL, 503, (JSON, (b"retry-after", b"1")))
        self._head = raw_head(reply, always)
        self._rest = b"content-length: %d\r\n\r\n%b" % (len(reply.body), reply.body)

    def to(self, head: PlainHead) -> bytes:
        """The whole reply to a request with this head."""
        lines = request_trace(head.request_id, head.traceparent).lines()
        return b"%b%b%b%b" % (self._head, date_line(), lines, self._rest)


#: The whole reply to a request with this head whose caller may not score; None for one who may.
Reject = Callable[[PlainHead], bytes | None]
#: Decides a payment on the fast path: (head, body, admitted, callback that gets the whole reply).
DecideFast = Callable[[PlainHead, bytes, Admitted, Callable[[bytes], None]], None]


class QueuedConnection(Protocol):
    """What the queue needs of a connection."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    busy: bool

    def age_ms(self) -> float:
        """How long the data read last had waited in the kernel."""

    def to_application(self, data: bytes, admitted: Admitted) -> None:
        """Hand a payment to the application, through uvicorn's parser and ASGI."""

    def to_fast_path(self, fast_path: DecideFast, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        """Decide a payment on the fast path."""


class QueuedPayment(msgspec.Struct, frozen=True):
    """A payment in the queue."""

    connection: QueuedConnection
    data: bytes
    head: PlainHead
    arrived_ns: int
    deadline_ms: int
    rank: float
    best_tier: str
