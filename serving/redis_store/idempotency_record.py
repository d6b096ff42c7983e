"""The idempotency record of a payment: pending with its place in stream and state, then answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from features.kernel.step import ENTITY_COUNT
from features.state.codec import HEADER_BYTES
from features.state.remote import Entry

PENDING, ANSWERED = b"P", b"A"
#: Bytes of the digest of a payment (serving/engine/retry_identity.py).
DIGEST_BYTES = 16
#: The due time of a payment that is never decided: a label brought it along.
NEVER_DUE_MS = 2**63 - 1
_DUE_BYTES = 8
_DUE = 1 + DIGEST_BYTES
_POSITIONS = _DUE + _DUE_BYTES
#: The position of a payment in one string: the header of the string and its length before the payment (0: absent).
POSITION_BYTES = HEADER_BYTES + 4


class IdempotencyRecord(NamedTuple):
    """What Redis knows of a payment; ids are stream ids.

    Pending: `due_ms` (UTC) is when its worker must have decided, `positions` are the ends of its entities' strings
    before it. Answered: `decision_id` and `answer`.
    """

    answered: bool
    digest: bytes
    due_ms: int
    positions: tuple[bytes, ...]
    payment_id: bytes
    decision_id: bytes
    answer: bytes


def due_bytes(due_ms: int) -> bytes:
    """The due time in the encoding of the record."""
    return due_ms.to_bytes(_DUE_BYTES, "little")


def read_record(raw: bytes) -> IdempotencyRecord:
    """Decodes a record."""
    digest = raw[1:_DUE]
    if raw[:1] == ANSWERED:
        place = _DUE + 1 + raw[_DUE]
        after = place + 1 + raw[place]
        return IdempotencyRecord(True, digest, 0, (), raw[_DUE + 1 : place], raw[place + 1 : after], raw[after:])
    count = raw[_POSITIONS]
    end = _POSITIONS + 1 + count * POSITION_BYTES
    positions = tuple(raw[at : at + POSITION_BYTES] for at in range(_POSITIONS + 1, end, POSITION_BYTES))
    return IdempotencyRecord(
        False, digest, int.from_bytes(raw[_DUE:_POSITIONS], "little"), positions, raw[end:], b"", b""
    )


def pending_record(digest: bytes, due_ms: int, positions: list[bytes], payment_id: bytes) -> bytes:
    """A pending record in the encoding of the ADMIT script."""
    return b"".join((PENDING, digest, due_bytes(due_ms), bytes([len(positions)]), *positions, payment_id))


def answered_record(digest: bytes, payment_id: bytes, decision_id: bytes, answer: bytes) -> bytes:
    """An answered record in the encoding of the DECIDE script."""
    ids = bytes([len(payment_id)]) + payment_id + bytes([len(decision_id)]) + decision_id
    return ANSWERED + digest + ids + answer


def lost_record(digest: bytes, payment_id: bytes, due_ms: int = 0) -> bytes:
    """The record of a payment that was never decided and whose positions in the strings are lost."""
    return pending_record(digest, due_ms, [b"\xff" * POSITION_BYTES] * ENTITY_COUNT, payment_id)


def position_of(string: bytes | None) -> bytes:
    """The end of a string as a position."""
    return bytes(POSITION_BYTES) if not string else string[:HEADER_BYTES] + len(string).to_bytes(4, "little")


def string_until(string: bytes | None, position: bytes) -> bytes | None:
    """The string up to a position; None if it did not exist.

    Raises: LookupError when the string was compacted since.
    """
    length = int.from_bytes(position[HEADER_BYTES:], "little")
    if length == 0:
        # The string did not exist then; that holds even if it was begun and compacted since.
        return None
    if string is None or string[:HEADER_BYTES] != position[:HEADER_BYTES] or len(string) < length:
        raise LookupError("the string was compacted since")
    return string[:length]


def strings_at(entry: Entry, now: Sequence[bytes | None], known: IdempotencyRecord) -> list[bytes | None]:
    """The strings of a payment's entities as they were when it was admitted.

    Raises: LookupError when one was compacted since.
    """
    positions = iter(known.positions)
    return [
        None if key is None else string_until(string, next(positions))
        for key, string in zip(entry.keys, now, strict=True)
    ]
