"""The idempotency record of a payment: first that it was admitted and where, then its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from features.kernel.step import ENTITY_COUNT
from features.state.codec import HEADER_BYTES
from features.state.remote import Entry

PENDING, ANSWERED = b"P", b"A"
DIGEST_BYTES = 16
_DUE_BYTES = 8
_DUE = 1 + DIGEST_BYTES
_MARKS = _DUE + _DUE_BYTES
#: Of each string as the payment saw it: its header, and its length (0: there was none).
MARK_BYTES = HEADER_BYTES + 4


class Record(NamedTuple):
    """What Redis knows of a payment; ids are those of the stream.

    Pending: `due_ms` (UTC) is when its worker must have decided, `marks` where its entities' strings
    ended. Answered: `decision_id` and `answer`.
    """

    answered: bool
    digest: bytes
    due_ms: int
    marks: tuple[bytes, ...]
    payment_id: bytes
    decision_id: bytes
    answer: bytes


def digest_of(content: bytes) -> bytes:
    """What tells the content of one payment from another's."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def due_bytes(due_ms: int) -> bytes:
    """The moment as it stands in the record."""
    return due_ms.to_bytes(_DUE_BYTES, "little")


def read_record(raw: bytes) -> Record:
    """The record that the scripts wrote."""
    digest = raw[1:_DUE]
    if raw[:1] == ANSWERED:
        place = _DUE + 1 + raw[_DUE]
        after = place + 1 + raw[place]
        return Record(True, digest, 0, (), raw[_DUE + 1 : place], raw[place + 1 : after], raw[after:])
    count = raw[_MARKS]
    end = _MARKS + 1 + count * MARK_BYTES
    marks = tuple(raw[at : at + MARK_BYTES] for at in range(_MARKS + 1, end, MARK_BYTES))
    return Record(False, digest, int.from_bytes(raw[_DUE:_MARKS], "little"), marks, raw[end:], b"", b"")


def pending_record(digest: bytes, due_ms: int, marks: list[bytes], payment_id: bytes) -> bytes:
    """A pending record, as the script writes it."""
    return b"".join((PENDING, digest, due_bytes(due_ms), bytes([len(marks)]), *marks, payment_id))


def answered_record(digest: bytes, payment_id: bytes, decision_id: bytes, answer: bytes) -> bytes:
    """The record of an answer, as the script writes it."""
    ids = bytes([len(payment_id)]) + payment_id + bytes([len(decision_id)]) + decision_id
    return ANSWERED + digest + ids + answer


def lost_record(digest: bytes, payment_id: bytes) -> bytes:
    """The record of a payment that was never decided, whose place in the strings is not known any more."""
    return pending_record(digest, 0, [b"\xff" * MARK_BYTES] * ENTITY_COUNT, payment_id)


def mark_of(string: bytes | None) -> bytes:
    """Where a string ended."""
    return bytes(MARK_BYTES) if not string else string[:HEADER_BYTES] + len(string).to_bytes(4, "little")


def until_mark(string: bytes | None, mark: bytes) -> bytes | None:
    """The string as it was at the mark; None if there was none.

    Raises: LookupError when it was packed anew since.
    """
    length = int.from_bytes(mark[HEADER_BYTES:], "little")
    if length == 0:
        # A string that was begun and packed since holds more than nothing: then there is no way back, but
        # of an entity without a past nothing is what was known.
        return None
    if string is None or string[:HEADER_BYTES] != mark[:HEADER_BYTES] or len(string) < length:
        raise LookupError("the string was packed since")
    return string[:length]


def strings_at(entry: Entry, now: Sequence[bytes | None], known: Record) -> list[bytes | None]:
    """The strings of a payment's entities as they were when it was admitted.

    Raises: LookupError when one was packed since.
    """
    marks = iter(known.marks)
    return [
        None if key is None else until_mark(string, next(marks)) for key, string in zip(entry.keys, now, strict=True)
    ]
