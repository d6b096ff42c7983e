"""Connections to the SQLite ledger; errors of the driver leave this room as LedgerError."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from serving.errors import DamagedLedger, LedgerError
from serving.ledger.reader import Rows
from serving.ledger.sqlite.case_table import create_schema
from serving.ledger.sqlite.damage import REPAIR, is_damage, reason_of

# AUTOINCREMENT would only matter after deletes, which a ledger never does, and costs one more page per commit.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    event_time_ms INTEGER NOT NULL,
    arrival_time_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS payment_once ON events(transaction_id) WHERE kind = 'payment';
CREATE INDEX IF NOT EXISTS reports_of_transaction ON events(transaction_id, kind)
    WHERE kind <> 'payment' AND transaction_id <> '';
CREATE INDEX IF NOT EXISTS others_by_kind ON events(kind, seq) WHERE kind <> 'payment';
CREATE TABLE IF NOT EXISTS token_keys (version INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL);
"""

#: SQLite's busy timeout of the writer, milliseconds: the event loop must not block inside SQLite.
BUSY_MS = 2


def connect(path: Path, sync: str = "normal") -> sqlite3.Connection:
    """A connection to the ledger in autocommit mode; creates the schema of events and cases if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
    connection.execute("PRAGMA page_size=4096")  # two events a page; an index of random ids dirties many pages
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if sync == 'full' else 'NORMAL'}")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    create_schema(connection)
    connection.execute("COMMIT")
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that SQLite lets write nothing."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA query_only=ON")
    return connection


def is_lock(error: BaseException) -> bool:
    """Whether another process holds the ledger (any kind of SQLITE_BUSY), which passes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def ledger_error(error: sqlite3.Error | UnicodeDecodeError) -> LedgerError:
    """The LedgerError of an error of SQLite, which becomes its cause."""
    own = damaged(error) if is_damage(error) else LedgerError(str(error))
    own.__cause__ = error
    return own


def damaged(error: BaseException) -> DamagedLedger:
    """The DamagedLedger of an error of SQLite or of its driver."""
    return DamagedLedger(f"The ledger ledger.sqlite is damaged: {reason_of(error)}.", REPAIR)


def _ignore(_: LedgerError) -> None:
    pass


@contextlib.contextmanager
def ledger_errors(note: Callable[[LedgerError], None] = _ignore) -> Iterator[None]:
    """Raises errors of SQLite as LedgerError; `note` is called with each."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        own = ledger_error(error)
        note(own)
        raise own from error


class ReadConnection:
    """A SQLite connection for the queries of `LedgerReader`; raises LedgerError."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        #: The first damage that a query met.
        self.damage: DamagedLedger | None = None

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement."""
        with ledger_errors(self.note):
            return _Rows(self._connection.execute(sql, values), self.note)

    def note(self, error: LedgerError) -> None:
        """Remember an error if it is damage, and the first."""
        if self.damage is None and isinstance(error, DamagedLedger):
            self.damage = error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Rows:
    """The rows of a statement: SQLite may fail at each of them."""

    def __init__(self, cursor: sqlite3.Cursor, note: Callable[[LedgerError], None]) -> None:
        self._cursor = cursor
        self._note = note

    def fetchone(self) -> Any:
        with ledger_errors(self._note):
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with ledger_errors(self._note):
            return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())
