"""Writes a batch of the stream into PostgreSQL in one transaction: entries, decisions, cases and the position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from serving.decision.case_row import FORMER_REFERENCE, CaseRow, risk_minor
from serving.ledger.postgres.schema import LOCK
from serving.ledger.postgres.session import Session
from serving.redis_store.stream_entry import StreamEntry, UnreadableEntry

#: The advisory lock of the active recorder; the others wait for it.
RECORDER_LOCK = LOCK + 1

_ENTRIES = """INSERT INTO entries (seq, kind, transaction_id, event_time_ms, arrival_time_ms, body)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %b::bytea[])
ON CONFLICT DO NOTHING"""
_DECISIONS = """INSERT INTO decisions (seq, payment_seq, transaction_id, event_time_ms, arrival_time_ms, body)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %b::bytea[])
ON CONFLICT DO NOTHING"""
_CASES = """INSERT INTO cases (transaction_id, opened_ms, decision, score, amount_minor, currency, payer_id,
 device_id, payee_id, risk_minor)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::float8[], %s::bigint[], %s::text[], %s::text[],
 %s::text[], %s::text[], %s::bigint[])
ON CONFLICT DO NOTHING"""
_UNREADABLE = "INSERT INTO unreadable (seq, fields, reason) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"


#: Errors of a single entry that no retry repairs.
REFUSED = (psycopg.DataError, psycopg.IntegrityError, KeyError, OverflowError)


class Written(NamedTuple):
    """Counts of a batch: new events, known events, and entries that were no event."""

    new: int
    known: int
    unreadable: int


def try_lead(session: Session) -> bool:
    """Try to become the active recorder of this ledger; the lock ends with the session."""
    row = session.execute("SELECT pg_try_advisory_lock(%s)", (RECORDER_LOCK,)).fetchone()
    return row == (True,)


def position(session: Session) -> int:
    """The sequence number of the last recorded stream entry."""
    row = session.execute("SELECT seq FROM stream_position").fetchone()
    return 0 if row is None else int(row[0])


def restart_position(session: Session) -> None:
    """Read the stream from its beginning: it is not the stream that was recorded so far."""
    session.execute("UPDATE stream_position SET seq = 0")


def insert(session: Session, entries: Sequence[StreamEntry]) -> None:
    """Write entries that come from no stream; leaves the position unchanged."""
    session.execute(_ENTRIES, _columns([one[:6] for one in entries]))


def record(session: Session, batch: Sequence[StreamEntry | UnreadableEntry]) -> Written:
    """Write a batch and the position after it in one transaction; known events stay unchanged."""
    found = [one for one in batch if isinstance(one, StreamEntry)]
    unreadable = [one for one in batch if isinstance(one, UnreadableEntry)]
    events = [one for one in found if one.payment_seq is None]
    decisions = [one for one in found if one.payment_seq is not None]
    opened = [_case_columns(one.case) for one in found if one.case is not None]
    with session.transaction():
        new = 0
        if events:
            new += session.execute(_ENTRIES, _columns([one[:6] for one in events])).rowcount
        if decisions:
            rows = [(one.seq, one.payment_seq, *one[2:6]) for one in decisions]
            new += session.execute(_DECISIONS, _columns(rows)).rowcount
        if opened:
            session.execute(_CASES, _columns(opened))
        for one in unreadable:
            session.execute(_UNREADABLE, one)
        session.execute("UPDATE stream_position SET seq = %s", (batch[-1].seq,))
    return Written(new, len(found) - new, len(unreadable))


def record_each(session: Session, batch: Sequence[StreamEntry | UnreadableEntry]) -> Written:
    """Write a batch entry by entry; an entry that the tables refuse is stored as unreadable.

    For a batch that was refused as a whole: a number out of range, an unknown currency.
    """
    total = Written(0, 0, 0)
    for one in batch:
        try:
            written = record(session, [one])
        except REFUSED as error:
            reason = f"{type(error).__name__}: not fit for the tables"
            written = record(session, [UnreadableEntry(one.seq, repr(tuple(one)).encode(), reason)])
        total = Written(*(a + b for a, b in zip(total, written, strict=True)))
    return total


def _case_columns(case: CaseRow) -> tuple[Any, ...]:
    *columns, at_risk = msgspec.structs.astuple(case)
    if at_risk is None:  # an entry of an older release
        at_risk = risk_minor(case.score, case.amount_minor, case.currency, FORMER_REFERENCE)
    return (*columns, at_risk)


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
