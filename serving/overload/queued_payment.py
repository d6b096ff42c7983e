"""What waits in the admission queue, and the calls that decide, reject or refuse it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from serving.api.asgi import JSON, json_reply, raw_reply
from serving.messages import Error, ErrorBody
from serving.overload.load_shedding import Admitted
from serving.overload.plain_head import PlainHead
from serving.server.headers import Header

REFUSAL = Error(
    ErrorBody(
        "overloaded",
        "More payments arrive than can be decided in time.",
        "Apply your own default and send less, or send again in a second.",
    )
)


def overload_reply(always: tuple[Header, ...]) -> bytes:
    """The whole reply to a payment that is refused because of overload."""
    return raw_reply(json_reply(REFUSAL, 503, (JSON, (b"retry-after", b"1"))), always)


#: The whole reply to a caller with this `authorization` who may not score; None for one who may.
Reject = Callable[[bytes | None], bytes | None]
#: Decides a payment on the fast path: (authorization, body, admitted, callback that gets the whole reply).
DecideFast = Callable[[bytes | None, bytes, Admitted, Callable[[bytes], None]], None]


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
