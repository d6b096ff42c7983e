"""Entries of the Redis Stream and their sequence numbers as events of the ledger.

`k` kind · `t` transaction · `e` event time · `a` arrival time (both ms UTC) · `b` body · `c` the case that a
decision opens, JSON of `CaseRow`. The sequence number is the stream id: milliseconds, then 20 bits of count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from serving.decision.case_row import CaseRow
from serving.ledger.reader import COUNT_BITS


class StreamEntry(NamedTuple):
    """One entry of the stream; of a decision `payment_seq` is its payment and `case` the case that it opens."""

    seq: int
    kind: str
    transaction_id: str
    event_time_ms: int
    arrival_time_ms: int
    body: bytes
    payment_seq: int | None
    case: CaseRow | None


class UnreadableEntry(NamedTuple):
    """An entry that is not a valid event: kept unchanged and reported; later entries are processed all the same."""

    seq: int
    fields: bytes
    reason: str


class _Decision(msgspec.Struct):
    payment_id: str


_case = msgspec.json.Decoder(CaseRow)
_decision = msgspec.json.Decoder(_Decision)


def seq_of(stream_id: str | bytes) -> int:
    """The sequence number of a stream id.

    >>> seq_of("1794355203120-3") == (1794355203120 << 20) + 3
    True
    """
    milliseconds, _, count = (stream_id.decode() if isinstance(stream_id, bytes) else stream_id).partition("-")
    return (int(milliseconds) << COUNT_BITS) + int(count or 0)


def stream_id_of(seq: int) -> str:
    """The stream id of a sequence number.

    >>> stream_id_of(seq_of("1794355203120-3"))
    '1794355203120-3'
    """
    return f"{seq >> COUNT_BITS}-{seq & ((1 << COUNT_BITS) - 1)}"


def parse_entry(stream_id: bytes, fields: Mapping[bytes, bytes]) -> StreamEntry | UnreadableEntry:
    """The event in the fields of a stream entry, or why there is none."""
    seq = seq_of(stream_id)
    try:
        kind = fields[b"k"].decode()
        transaction_id, body = fields[b"t"].decode(), fields[b"b"]
        if "\0" in transaction_id or "\0" in kind:
            raise ValueError("a word holds a zero byte")
        payment_seq = seq_of(_decision.decode(body).payment_id) if kind == "decision" else None
        case = _case.decode(fields[b"c"]) if fields.get(b"c") else None
        return StreamEntry(seq, kind, transaction_id, int(fields[b"e"]), int(fields[b"a"]), body, payment_seq, case)
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        reason = f"{type(error).__name__}: {error}".replace("\0", "?")
        return UnreadableEntry(seq, repr(dict(fields)).encode(), reason)
