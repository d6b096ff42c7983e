"""The ledger: an append-only log of events in one SQLite file, written in groups.

All events queued during one turn of the event loop are written in one transaction (group commit). A caller awaits
the `CommitTicket` of its event and answers only after the commit. A commit never runs a checkpoint
(`wal_autocheckpoint=0`): `run_checkpoints` does that in a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import Histogram

from serving.decision.case_row import CaseRow
from serving.errors import DamagedLedger, LedgerError
from serving.ledger.reader import Event, LedgerReader
from serving.ledger.sqlite.bloom_filter import BloomFilter
from serving.ledger.sqlite.case_table import open_case
from serving.ledger.sqlite.commit_ticket import CommitTicket
from serving.ledger.sqlite.connection import (
    ReadConnection,
    connect,
    connect_read_only,
    is_lock,
    ledger_error,
    ledger_errors,
)  # fmt: skip
from serving.telemetry.buckets import MILLISECONDS, SIZES

__all__ = ["Event", "Ledger", "NotYetWritten"]

#: While another process holds the ledger: seconds between two tries, and until queued events fail. The review desk
#: holds it for milliseconds.
LOCK_RETRY_SECONDS = 0.005
LOCK_PATIENCE_SECONDS = 2.0
#: After so long the tickets settle with `NotYetWritten`, so that payments are answered within a usual deadline.
ANSWER_PATIENCE_SECONDS = 0.05
#: How long `flush` and `append_now` retry.
FLUSH_PATIENCE_SECONDS = 0.25
#: Upper bound for holding commits during a checkpoint: a slow disk must not look like a ledger that cannot be written.
HOLD_SECONDS = 0.25

_INSERT = "INSERT INTO events(kind, transaction_id, event_time_ms, arrival_time_ms, body) VALUES (?, ?, ?, ?, ?)"
_LOCKED = "another process has locked the ledger"


class NotYetWritten(Exception):
    """The event is queued and another process holds the ledger: the commit will not come within the deadline."""


class Ledger(LedgerReader):
    """Appends events in groups and reads them back; one instance per process, one thread.

    Reading and writing raise LedgerError. `clock` gives seconds and decides how long commits are held or retried.
    """

    def __init__(
        self, path: Path, sync: str = "normal", *, read_only: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._clock = clock
        with ledger_errors():
            self._sqlite: sqlite3.Connection = connect_read_only(path) if read_only else connect(path, sync)
        self._connection: ReadConnection = ReadConnection(self._sqlite)
        self._rows: list[tuple[str, str, int, int, bytes]] = []
        self._cases: list[CaseRow] = []
        self._tickets: list[CommitTicket] = []
        self._scheduled = False
        self._ids: BloomFilter | None = None
        self._locked_since: float | None = None
        self._held_until = 0.0
        #: The first commit that failed. Until `resume_writes` nothing is written: later events were decided from a
        #: state that holds what was not recorded.
        self.broken: LedgerError | None = None
        self.commit_seconds = Histogram(
            "riskgate_ledger_commit_seconds", "Time of one commit, seconds.", buckets=MILLISECONDS, registry=None
        )
        self.commit_events = Histogram(
            "riskgate_ledger_commit_events", "Events in one commit.", buckets=SIZES, registry=None
        )
        self.failures = 0  # commits
        self.body_bytes = 0  # of the events written so far

    @property
    def damage(self) -> DamagedLedger | None:
        """The first damage of the file that a query or a commit met."""
        return self._connection.damage

    # -- writing -------------------------------------------------------------------------------

    def append(
        self,
        kind: str,
        transaction_id: str,
        event_time_ms: int,
        arrival_time_ms: int,
        body: bytes,
        case: CaseRow | None = None,
    ) -> CommitTicket:
        """Queue an event for the commit at the end of this turn of the event loop.

        The ticket settles when the event is in the file, or with the LedgerError of the commit.
        """
        ticket = CommitTicket()
        self._remember_id(kind, transaction_id)
        self._rows.append((kind, transaction_id, event_time_ms, arrival_time_ms, body))
        if case is not None:
            self._cases.append(case)
        self._tickets.append(ticket)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._end_of_turn)
        return ticket

    def learn_ids(self, known: BloomFilter | None = None, after_seq: int = 0) -> None:
        """Load the ids of all payments into the Bloom filter that `may_hold` asks; a second per million.

        `known` holds those up to the event `after_seq` already.
        """
        with ledger_errors():
            if known is None:
                (count,) = self._sqlite.execute("SELECT count(*) FROM events WHERE kind = 'payment'").fetchone()
                rows = self._sqlite.execute("SELECT transaction_id FROM events WHERE kind = 'payment'")
                known = BloomFilter((transaction_id for (transaction_id,) in rows), count)
            else:
                # By sequence number, never by the index of all payments: the tail is short.
                rows = self._sqlite.execute(
                    "SELECT transaction_id FROM events NOT INDEXED WHERE seq > ? AND kind = 'payment'", (after_seq,)
                )
                for (transaction_id,) in rows:
                    known.add(transaction_id)
        self._ids = known

    @property
    def ids(self) -> BloomFilter | None:
        """The ids of all payments, once `learn_ids` was called."""
        return self._ids

    def may_hold(self, transaction_id: str) -> bool:
        """Whether a payment of that id may be in the file or queued for it; False is certain."""
        return self._ids is None or transaction_id in self._ids

    def _remember_id(self, kind: str, transaction_id: str) -> None:
        if self._ids is not None and kind == "payment":
            self._ids.add(transaction_id)

    def _end_of_turn(self) -> None:
        """Write what is queued, or schedule a retry while another process holds the ledger."""
        self._scheduled = False
        now = self._clock()
        if now >= self._held_until and self._flush():
            self._locked_since = None
            return
        self._locked_since = since = self._locked_since or now
        if now - since > LOCK_PATIENCE_SECONDS:
            self._locked_since = None
            self._settle(self._take_queue(), LedgerError(_LOCKED))
            return
        if now - since > ANSWER_PATIENCE_SECONDS:
            tickets, self._tickets = self._tickets, []
            for ticket in tickets:
                ticket.settle(NotYetWritten())
        self._scheduled = True
        asyncio.get_running_loop().call_later(LOCK_RETRY_SECONDS, self._end_of_turn)

    def hold(self, held: bool) -> None:
        """Hold commits for `HOLD_SECONDS` at most, or release them; `flush` ignores the hold."""
        self._held_until = self._clock() + HOLD_SECONDS if held else 0.0
        if not held:
            self._end_of_turn()

    def flush(self) -> None:
        """Write everything queued, in order, in one transaction, and settle the tickets.

        Raises: LedgerError when another process holds the ledger for longer than `FLUSH_PATIENCE_SECONDS`.
        """
        for _ in range(round(FLUSH_PATIENCE_SECONDS / LOCK_RETRY_SECONDS)):
            if self._flush():
                return
            time.sleep(LOCK_RETRY_SECONDS)
        raise LedgerError(_LOCKED)

    def _flush(self) -> bool:
        """Write the queue; False while another process holds the ledger. Any other failure settles the tickets."""
        if not self._rows:
            return True
        try:
            if self.broken is None:
                self._write(self._rows, self._cases)
        except sqlite3.Error as error:
            if is_lock(error):
                return False
            self._settle(self._take_queue(), ledger_error(error))
            return True
        self._settle(self._take_queue(), self.broken)
        return True

    def is_queued(self, transaction_id: str) -> bool:
        """Whether an event of that transaction waits to be written."""
        return any(row[1] == transaction_id for row in self._rows)

    def _take_queue(self) -> list[CommitTicket]:
        tickets = self._tickets
        self._rows, self._cases, self._tickets = [], [], []
        return tickets

    def _settle(self, tickets: list[CommitTicket], error: LedgerError | None) -> None:
        if error is not None and self.broken is None:
            self.broken = error
            self._connection.note(error)
        for ticket in tickets:
            ticket.settle(error)

    def resume_writes(self) -> None:
        """Write again: the state was folded again from what is recorded."""
        self.broken = None

    def append_now(self, kind: str, transaction_id: str, event_time_ms: int, arrival_time_ms: int, body: bytes) -> int:
        """Append one event synchronously, after what is queued; returns its sequence number."""
        return self.append_many([(kind, transaction_id, event_time_ms, arrival_time_ms, body)])

    def append_many(self, rows: Sequence[tuple[str, str, int, int, bytes]]) -> int:
        """Append events (kind, transaction, event time, arrival time, body) synchronously; the seq of the last."""
        self._write_now(rows)
        (seq,) = self._connection.execute("SELECT last_insert_rowid()").fetchone()
        return int(seq)

    def token_keys(self) -> list[tuple[int, str]]:
        """Version and fingerprint of each key of card-number tokens that this ledger was written with."""
        return self._connection.execute("SELECT version, fingerprint FROM token_keys ORDER BY version").fetchall()

    def keep_token_key(self, version: int, fingerprint: str) -> None:
        """Remember the key of card-number tokens; the caller has checked that it may be used."""
        row = (version, fingerprint)
        if row not in self.token_keys():
            self._patiently(lambda: self._sqlite.execute("INSERT OR REPLACE INTO token_keys VALUES (?, ?)", row))

    def _write_now(self, rows: Sequence[tuple[str, str, int, int, bytes]]) -> None:
        self.flush()
        if self.broken is not None:
            raise self.broken
        for kind, transaction_id, *_ in rows:
            self._remember_id(kind, transaction_id)
        self._patiently(lambda: self._write(rows, []))

    @staticmethod
    def _patiently(write: Callable[[], object]) -> None:
        """Write, again while another process holds the ledger for `FLUSH_PATIENCE_SECONDS`."""
        for tries_left in range(round(FLUSH_PATIENCE_SECONDS / LOCK_RETRY_SECONDS), -1, -1):
            try:
                write()
                return
            except sqlite3.Error as error:
                if not is_lock(error) or not tries_left:
                    raise ledger_error(error) from error
                time.sleep(LOCK_RETRY_SECONDS)

    def _write(self, rows: Sequence[tuple[str, str, int, int, bytes]], opened: Sequence[CaseRow]) -> None:
        """Commit events and cases in one transaction; raises the error of SQLite."""
        connection = self._sqlite
        began_ns = time.perf_counter_ns()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, rows)
            for case in opened:
                open_case(connection, case)
            connection.execute("COMMIT")
        except BaseException as error:
            self.failures += not is_lock(error)  # a lock is retried by the caller
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.commit_seconds.observe((time.perf_counter_ns() - began_ns) * 1e-9)
        self.commit_events.observe(len(rows))
        self.body_bytes += sum([len(row[4]) for row in rows])

    def restart_wal(self) -> None:
        """Truncate the WAL; short when `run_checkpoints` has just copied most of it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Write what is queued, truncate the WAL if no reader needs it, and close the file."""
        try:
            self.flush()
            self.restart_wal()
        finally:
            self._sqlite.close()

    def can_write(self) -> bool:
        """Whether a write transaction can be opened and committed now."""
        try:
            self._sqlite.execute("BEGIN IMMEDIATE")
            self._sqlite.execute("COMMIT")
        except sqlite3.Error:
            return False
        return True
