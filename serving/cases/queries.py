"""Queries of the review desk: the events of the ledger around a case, read while the service writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from serving.errors import LedgerUnavailable
from serving.ledger.reader import COLUMNS, Event, SqlConnection

#: How long a statement of the desk waits while another process holds the ledger.
BUSY_SECONDS = 5.0


def connect(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """The desk's connection to the ledger of the service; never creates one.

    Raises: LedgerUnavailable if there is no ledger yet.
    """
    if not path.is_file():
        raise LedgerUnavailable(
            f"There is no ledger at {path} yet.", "Start the scoring service first; it creates the ledger."
        )
    connection = sqlite3.connect(path, isolation_level=None, timeout=busy_seconds)
    # The service runs the checkpoints; a verdict must not trigger one.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


@contextmanager
def opened(path: Path, busy_seconds: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
    """A connection, closed at the end of the block.

    Raises: LedgerUnavailable if the ledger is missing, locked for longer than `busy_seconds` or unreadable.
    """
    try:
        with closing(connect(path, busy_seconds)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        raise LedgerUnavailable(
            "The ledger could not be read or written; nothing was changed.",
            "Try again in a moment; if it persists, ask the operator of the scoring service.",
        ) from error


def history(connection: SqlConnection, transaction_id: str) -> list[Event]:
    """All events of one transaction, in order of arrival."""
    # Two halves, because the ledger has one partial index for payments and one for the other kinds.
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM events WHERE transaction_id = ? AND kind = 'payment'"
        f" UNION ALL SELECT {COLUMNS} FROM events"
        " WHERE transaction_id = ? AND kind <> 'payment' AND transaction_id <> '' ORDER BY seq",
        (transaction_id, transaction_id),
    )
    return [Event(*row) for row in rows]


def payments_by_id(connection: SqlConnection, transaction_ids: Sequence[str]) -> dict[str, Event]:
    """The payment events of these transactions."""
    if not transaction_ids:
        return {}
    marks = ", ".join("?" * len(transaction_ids))
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM events WHERE kind = 'payment' AND transaction_id IN ({marks})",
        list(transaction_ids),
    )
    return {event.transaction_id: event for event in (Event(*row) for row in rows)}


def reports_of(connection: SqlConnection, transaction_ids: Sequence[str]) -> list[Event]:
    """Outcomes, labels and verdicts of these transactions, in order of arrival."""
    if not transaction_ids:
        return []
    marks = ", ".join("?" * len(transaction_ids))
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM events WHERE transaction_id IN ({marks})"
        " AND kind <> 'payment' AND transaction_id <> '' ORDER BY seq",
        list(transaction_ids),
    )
    return [Event(*row) for row in rows]


def present_ms(connection: SqlConnection) -> int | None:
    """The event time of the newest payment: the present, for a service on the replay clock."""
    row = connection.execute(
        "SELECT event_time_ms FROM events WHERE kind = 'payment' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return None if row is None else int(row[0])


def latest_promotion(connection: SqlConnection) -> bytes | None:
    """The body of the newest `promotion` event, the champion; None before the first."""
    row = connection.execute(
        "SELECT body FROM events WHERE kind = 'promotion' AND kind <> 'payment' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return None if row is None else bytes(row[0])


def events_at(ledger: SqlConnection, seqs: Sequence[int]) -> list[Event]:
    """The events with these sequence numbers, in the given order."""
    if not seqs:
        return []
    marks = ", ".join("?" * len(seqs))
    rows = ledger.execute(
        f"SELECT {COLUMNS} FROM events WHERE seq IN ({marks})",
        list(seqs),
    )
    found = {row[0]: Event(*row) for row in rows}
    return [found[seq] for seq in seqs if seq in found]
