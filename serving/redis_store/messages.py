"""Types of what a payment's calls to Redis send and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from hiredis import ReplyError

from features.state.remote import Entry
from serving.errors import LedgerUnavailable, StateUnavailable
from serving.redis_store.idempotency_record import IdempotencyRecord

Strings = list[bytes | None]


class EventHeader(msgspec.Struct, frozen=True, gc=False):
    """The fields of a stream event other than its body; times are ms UTC."""

    kind: str
    transaction_id: str
    event_time_ms: int
    arrival_time_ms: int


class StringAppend(NamedTuple):
    """Bytes to append to the string of one entity."""

    kind: int
    key: str
    event: bytes


class DecidedPayment(msgspec.Struct, frozen=True):
    """A payment with a decision that was made without state: admitted and recorded in one step.

    `unfinished` is the body of the decision up to the stream id of the payment, which is its last value.
    """

    header: EventHeader
    entry: Entry
    content: bytes
    digest: bytes
    unfinished: bytes
    answer: bytes
    case: bytes

    def body(self, payment_id: bytes) -> bytes:
        """The body of the decision, once the payment's stream id is known."""
        return self.unfinished + payment_id + BODY_END


#: The end of the body of a decision, after the id of its payment; the script appends the same bytes.
BODY_END = b'"}'


class AdmitResult(msgspec.Struct, frozen=True):
    """The result of admitting a payment: the record of a known one, or its stream id and the strings before it.

    Both are empty when the stream is full.
    """

    known: IdempotencyRecord | None
    payment_id: bytes
    strings: Strings

    @property
    def full(self) -> bool:
        """Whether the stream was full."""
        return self.known is None and not self.payment_id


STREAM_FULL = AdmitResult(None, b"", [])


def aligned(entry: Entry, found: Sequence[Any]) -> Strings:
    """One string per kind of entity: those found for the entities that the payment names, None for the others."""
    if len(found) == len(entry.keys):
        return list(found)
    left = iter(found)
    return [None if key is None else next(left) for key in entry.keys]


def stream_is_full() -> LedgerUnavailable:
    """The refusal of an event while the stream takes no more."""
    return LedgerUnavailable(
        "The stream holds as many unrecorded events as RISKGATE_STREAM_LIMIT allows.",
        "Send the same again when the recorder has drained it.",
    )


def checked(reply: Any) -> Any:
    """The reply, unless it is an error.

    Raises: StateUnavailable with the text of Redis's error.
    """
    error = refusal_in(reply)
    if error is not None:
        raise error
    return reply


def refusal_in(reply: Any) -> StateUnavailable | None:
    """The error that a reply is, with its repair; None for any other reply."""
    text = str(reply) if isinstance(reply, ReplyError) else ""
    return StateUnavailable(f"Redis refuses: {text}", _repair_of(text)) if text else None


def _repair_of(error: str) -> str:
    if error.startswith("OOM"):
        return "Raise its maxmemory, or let the recorder drain the stream."
    if error.startswith("MISCONF"):
        return "Make room on the disk of Redis."
    if error.startswith(("READONLY", "LOADING", "MASTERDOWN")):
        return "Wait for it, or point RISKGATE_REDIS_URL at the server that takes writes."
    return "Look at the log of Redis."
