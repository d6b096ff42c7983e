"""The ledger: an append-only log of events in one SQLite file, written in groups.

All events queued during one turn of the event loop are written in one transaction (group commit); a
caller awaits the word of its event and answers only when it has it. The log is never checkpointed
by a commit (`wal_autocheckpoint=0`): `Checkpointer` does that beside the requests.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from serving.decision.case_row import CaseRow
from serving.errors import LedgerError
from serving.ledger.reader import Event, LedgerReading
from serving.ledger.sqlite.bloom_filter import SeenIds
from serving.ledger.sqlite.case_table import create_schema, open_case
from serving.ledger.sqlite.commit_ticket import Recorded
from serving.telemetry.histogram import MILLISECONDS, SIZES, Spread

__all__ = ["KINDS", "Event", "Ledger", "LedgerReading", "connect"]

KINDS = ("payment", "outcome", "label", "verdict", "profile", "policy", "promotion", "history", "hashing")

# AUTOINCREMENT would only matter after deletes, which a ledger never does, and writes one page more a commit.
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
"""

#: How long another process may hold the ledger: within one call of SQLite (ms), between two tries, for events
#: that are queued, and for an event that must be written at once. The desk holds it for milliseconds.
BUSY_MS = 2
LOCK_RETRY_SECONDS = 0.005
LOCK_PATIENCE_SECONDS = 2.0
#: Of that, how long those who wait are left waiting: within a usual deadline they hear that it is not written yet.
ANSWER_PATIENCE_SECONDS = 0.05
FLUSH_PATIENCE_SECONDS = 0.25
#: How long commits may be held for a checkpoint: a slow disk must not look like a ledger that cannot be written.
HOLD_SECONDS = 0.25

_INSERT = "INSERT INTO events(kind, transaction_id, event_time_ms, arrival_time_ms, body) VALUES (?, ?, ?, ?, ?)"


def connect(path: Path, sync: str = "normal") -> sqlite3.Connection:
    """A connection to the ledger in autocommit mode, with the schema of events and cases in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
    connection.execute("PRAGMA page_size=4096")  # two events a page, and little to copy for an index of random ids
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if sync == 'full' else 'NORMAL'}")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    create_schema(connection)
    connection.execute("COMMIT")
    # From here on nobody waits inside SQLite: the event loop has others to answer.
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    return connection


class NotYetWritten(Exception):
    """The event is queued, and another process holds the ledger: it will be written, but not in time to wait for."""


def _is_lock(error: BaseException) -> bool:
    """Whether another process holds the ledger (any kind of SQLITE_BUSY), which passes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _reader(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA query_only=ON")
    return connection


class Ledger(LedgerReading):
    """Appends events in groups and reads them back; one instance per process, one thread."""

    def __init__(self, path: Path, sync: str = "normal", *, read_only: bool = False) -> None:
        self.path = path
        self._connection: sqlite3.Connection = _reader(path) if read_only else connect(path, sync)
        self._rows: list[tuple[str, str, int, int, bytes]] = []
        self._cases: list[CaseRow] = []
        self._waiting: list[Recorded] = []
        self._scheduled = False
        self._ids: SeenIds | None = None
        self._locked_since: float | None = None
        self._held_until = 0.0
        #: The first commit that failed. From then on nothing is written until `mend`: what follows was decided
        #: from a state that holds what was not recorded.
        self.broken: LedgerError | None = None
        #: Seconds a commit took, events in one commit, and commits that failed.
        self.commit_seconds = Spread(MILLISECONDS)
        self.commit_events = Spread(SIZES)
        self.failures = 0
        self.body_bytes = 0  # of the events written so far

    # -- writing -------------------------------------------------------------------------------

    def append(
        self,
        kind: str,
        transaction_id: str,
        event_time_ms: int,
        arrival_time_ms: int,
        body: bytes,
        case: CaseRow | None = None,
    ) -> Recorded:
        """Queue an event for the commit at the end of this turn of the event loop.

        What is returned has word when the event is in the file, or the LedgerError of the commit.
        """
        recorded = Recorded()
        self._learn(kind, transaction_id)
        self._rows.append((kind, transaction_id, event_time_ms, arrival_time_ms, body))
        if case is not None:
            self._cases.append(case)
        self._waiting.append(recorded)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)
        return recorded

    def learn_ids(self) -> None:
        """Know from now on, without asking the file, which payments it cannot hold; a second a million."""
        ids = SeenIds()
        rows = self._connection.execute("SELECT transaction_id FROM events WHERE kind = 'payment'")
        ids.add_all(hash(transaction_id) for (transaction_id,) in rows)
        self._ids = ids

    def may_hold(self, transaction_id: str) -> bool:
        """Whether a payment of that id may be in the file or queued for it; False is certain."""
        return self._ids is None or hash(transaction_id) in self._ids

    def _learn(self, kind: str, transaction_id: str) -> None:
        if self._ids is not None and kind == "payment":
            self._ids.add(hash(transaction_id))

    def _turn(self) -> None:
        """At the end of a turn of the event loop: write what is queued, or come again while another process writes."""
        self._scheduled = False
        now = time.monotonic()
        if now >= self._held_until and self._flush():
            self._locked_since = None
            return
        self._locked_since = since = self._locked_since or now
        if now - since > LOCK_PATIENCE_SECONDS:
            self._locked_since = None
            self._tell(self._taken(), sqlite3.OperationalError("another process has locked the ledger"))
            return
        if now - since > ANSWER_PATIENCE_SECONDS:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.settle(NotYetWritten())
        self._scheduled = True
        asyncio.get_running_loop().call_later(LOCK_RETRY_SECONDS, self._turn)

    def hold(self, held: bool) -> None:
        """Let what is queued wait for a moment, a quarter of a second at most, or go on; `flush` does not wait."""
        self._held_until = time.monotonic() + HOLD_SECONDS if held else 0.0
        if not held:
            self._turn()

    def flush(self) -> None:
        """Write everything queued, in order, in one transaction, and tell those who wait.

        Raises: LedgerError when another process holds the ledger for longer than a moment.
        """
        for _ in range(round(FLUSH_PATIENCE_SECONDS / LOCK_RETRY_SECONDS)):
            if self._flush():
                return
            time.sleep(LOCK_RETRY_SECONDS)
        raise sqlite3.OperationalError("another process has locked the ledger")

    def _flush(self) -> bool:
        """Whether nothing is queued any more; what could not be written has been told so."""
        if not self._rows:
            return True
        try:
            if self.broken is None:
                self._write(self._rows, self._cases)
        except sqlite3.Error as error:
            if _is_lock(error):
                return False
            self._tell(self._taken(), error)
            return True
        self._tell(self._taken(), self.broken)
        return True

    def is_queued(self, transaction_id: str) -> bool:
        """Whether an event of that transaction waits to be written."""
        return any(row[1] == transaction_id for row in self._rows)

    def _taken(self) -> list[Recorded]:
        waiting = self._waiting
        self._rows, self._cases, self._waiting = [], [], []
        return waiting

    def _tell(self, waiting: list[Recorded], error: LedgerError | None) -> None:
        if error is not None and self.broken is None:
            self.broken = error
        for one in waiting:
            one.settle(error)

    def mend(self) -> None:
        """Write again: the state has been folded anew from what is recorded."""
        self.broken = None

    def append_now(self, kind: str, transaction_id: str, event_time_ms: int, arrival_time_ms: int, body: bytes) -> int:
        """Append one event at once, after what is queued; returns its sequence number."""
        self._write_now([(kind, transaction_id, event_time_ms, arrival_time_ms, body)])
        (seq,) = self._connection.execute("SELECT last_insert_rowid()").fetchone()
        return int(seq)

    def append_many(self, rows: Sequence[tuple[str, str, int, int, bytes]]) -> int:
        """Append events (kind, transaction, event time, arrival time, body) at once; the seq of the last."""
        self._write_now(rows)
        (seq,) = self._connection.execute("SELECT last_insert_rowid()").fetchone()
        return int(seq)

    def _write_now(self, rows: Sequence[tuple[str, str, int, int, bytes]]) -> None:
        self.flush()
        if self.broken is not None:
            raise self.broken
        for kind, transaction_id, *_ in rows:
            self._learn(kind, transaction_id)
        for again in range(round(FLUSH_PATIENCE_SECONDS / LOCK_RETRY_SECONDS), -1, -1):
            try:
                self._write(rows, [])
                return
            except sqlite3.OperationalError as error:
                if not _is_lock(error) or not again:
                    raise
                time.sleep(LOCK_RETRY_SECONDS)

    def _write(self, rows: Sequence[tuple[str, str, int, int, bytes]], opened: Sequence[CaseRow]) -> None:
        connection = self._connection
        began_ns = time.perf_counter_ns()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, rows)
            for case in opened:
                open_case(connection, case)
            connection.execute("COMMIT")
        except BaseException as error:
            # A lock is waited for; whoever waits for too long says so.
            self.failures += not _is_lock(error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.commit_seconds.observe((time.perf_counter_ns() - began_ns) * 1e-9)
        self.commit_events.observe(len(rows))
        self.body_bytes += sum([len(row[4]) for row in rows])

    def restart_wal(self) -> None:
        """Empty the write-ahead log; short when `Checkpointer` has just copied most of it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Write what is queued, empty the log if nobody reads it and close the file."""
        try:
            self.flush()
            self.restart_wal()
        finally:
            self._connection.close()

    def can_write(self) -> bool:
        """Whether a write transaction can be opened and committed now."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            return False
        return True
