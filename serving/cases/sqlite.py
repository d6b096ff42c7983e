"""The cases of the embedded profile, in the SQLite file of the ledger, read while the service writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from serving.cases import cases
from serving.cases.cases import Verdict
from serving.errors import DamagedLedger, LedgerUnavailable
from serving.ledger.sqlite.connection import damaged
from serving.ledger.sqlite.damage import check_wal, is_damage
from serving.ledger.sqlite.process_lock import is_served

#: How long a statement of the desk waits while another process holds the ledger.
BUSY_SECONDS = 5.0


class SqliteCases:
    """The cases in the SQLite file of the ledger; each task has a connection of its own."""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """`busy_seconds` is how long a statement waits for a ledger that another process holds."""
        self._path = path
        self._busy_seconds = busy_seconds

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """A connection, closed at the end of the block.

        Raises: LedgerUnavailable if the ledger is missing, locked for too long, damaged or unreadable.
        """
        try:
            if not is_served(self._path.parent):
                check_wal(self._path)  # the desk would be the first to open it, and SQLite would drop what is damaged
            with closing(connect(self._path, self._busy_seconds)) as connection:
                yield connection
        except DamagedLedger as error:
            raise LedgerUnavailable(error.message, error.repair) from error
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                found = damaged(error)
                raise LedgerUnavailable(found.message, found.repair) from error
            if not isinstance(error, sqlite3.OperationalError):
                raise
            raise LedgerUnavailable(
                "The ledger could not be read or written; nothing was changed.",
                "Try again in a moment; if it persists, ask the operator of the scoring service.",
            ) from error

    def resolve(self, connection: sqlite3.Connection, verdict: Verdict) -> int:
        """Append a verdict to the ledger and close its case, both or neither; returns the event's seq.

        Raises: UnknownCase; AlreadyResolved if the case has a verdict.
        """
        body = verdict.body()
        name, at_ms = verdict.transaction_id, verdict.event_time_ms
        # IMMEDIATE acquires the write lock before the case is read: two analysts cannot both see it open.
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            cases.check_open(cases.case_of(connection, name))
            cursor = connection.execute(
                "INSERT INTO events (kind, transaction_id, event_time_ms, arrival_time_ms, body)"
                " VALUES ('verdict', ?, ?, ?, ?)",
                (name, at_ms, verdict.arrival_time_ms, body),
            )
            connection.execute(
                "UPDATE cases SET status = 'resolved', verdict = ?, verdict_by = ?, verdict_at = ?, note = ?"
                " WHERE transaction_id = ?",
                (verdict.verdict, verdict.actor, at_ms, verdict.note, name),
            )
        return int(cursor.lastrowid or 0)


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
