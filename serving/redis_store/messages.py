"""What the trips of a payment to Redis carry there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from features.state.remote import Entry
from serving.redis_store.idempotency_record import Record

Strings = list[bytes | None]


class Outline(msgspec.Struct, frozen=True, gc=False):
    """Of an event what the stream keeps beside its body: what it is about and when it happened and came, ms UTC."""

    kind: str
    transaction_id: str
    event_time_ms: int
    arrival_time_ms: int


class Folding(NamedTuple):
    """An event for the string of one entity."""

    kind: int
    key: str
    event: bytes


class Together(msgspec.Struct, frozen=True):
    """A payment and the decision about it, which looked at no state: admitted and recorded as one.

    `unfinished` is the body of the decision up to the payment's id, which is the last word in it.
    """

    outline: Outline
    entry: Entry
    content: bytes
    digest: bytes
    unfinished: bytes
    answer: bytes
    case: bytes

    def body(self, payment_id: bytes) -> bytes:
        """The body of the decision, when the payment's id is known."""
        return self.unfinished + payment_id + END


#: What stands in the body of a decision behind the id of its payment (the script appends the same).
END = b'"}'


class Admission(msgspec.Struct, frozen=True):
    """What became of admitting a payment: known before, or its id and its entities' strings before it.

    Neither when the stream is full.
    """

    known: Record | None
    payment_id: bytes
    strings: Strings

    @property
    def full(self) -> bool:
        """Whether the stream took no more."""
        return self.known is None and not self.payment_id


FULL = Admission(None, b"", [])


def placed(entry: Entry, found: Sequence[Any]) -> Strings:
    """Strings of the entities that were sent, put in their places among all six."""
    if len(found) == len(entry.keys):
        return list(found)
    left = iter(found)
    return [None if key is None else next(left) for key in entry.keys]
