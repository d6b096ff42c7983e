"""The review desk's index of payments by payer, device and payee: a fold of the ledger.

The index is a file of its own next to the ledger, so it costs the payment path nothing and never locks the ledger. It
may be deleted at any time; the next `catch_up` builds it again.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from serving.cases.queries import events_at
from serving.ledger.reader import Event, SqlConnection

Party = Literal["payer", "device", "payee"]
PARTIES: tuple[Party, ...] = ("payer", "device", "payee")

#: Payments per statement, which keeps each read of the ledger short.
SLICE = 2_000
#: Slices per transaction in the background. The indexes are in random order: in a long index every payment of a
#: transaction dirties nearly one page of its own.
BULK_SLICES = 25
#: SQLite's page cache, kilobytes: the pages of a bulk stay in memory until its commit.
CACHE_KB = 65_536
MOST_COUNTED = 1_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payment_index (
    seq INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL,
    payer_id TEXT NOT NULL,
    device_id TEXT,
    payee_id TEXT NOT NULL,
    event_time_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS payments_of_payer ON payment_index (payer_id, event_time_ms);
CREATE INDEX IF NOT EXISTS payments_of_device ON payment_index (device_id, event_time_ms)
    WHERE device_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_of_payee ON payment_index (payee_id, event_time_ms);
"""


class _Parties(msgspec.Struct):
    payer_id: str
    payee_id: str
    device_id: str | None = None


class _Body(msgspec.Struct):
    payment: _Parties


_decode = msgspec.json.Decoder(_Body).decode


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the index; creates an empty one if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    index = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    index.execute("PRAGMA journal_mode=WAL")
    # The index can always be rebuilt: no need for fsync.
    index.execute("PRAGMA synchronous=OFF")
    index.execute(f"PRAGMA cache_size=-{CACHE_KB}")
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            index.execute(statement)
    return index


def catch_up(index: sqlite3.Connection, ledger: SqlConnection, slices: int = 1, *, slice_payments: int = SLICE) -> int:
    """Fold the next slices of the ledger's payments into the index; returns how many, 0 when it is up to date.

    One short transaction: the ledger is read before it begins, `slice_payments` per statement. Several threads may
    fold the same payments.
    """
    last = _last_folded(index, ledger)
    rows = list(itertools.islice(_payments_after(ledger, last, slice_payments), slices * slice_payments))
    index.execute("BEGIN IMMEDIATE")
    with index:
        # If another thread has emptied the index since, the next call starts at the first payment.
        if _newest(index)[0] >= last:
            index.executemany("INSERT OR IGNORE INTO payment_index VALUES (?, ?, ?, ?, ?, ?)", rows)
    return len(rows)


def _payments_after(
    ledger: SqlConnection, last: int, slice_payments: int
) -> Iterator[tuple[int, str, str, str | None, str, int]]:
    """The index rows of the payments after a sequence number; each statement reads one slice of the ledger."""
    while True:
        found = ledger.execute(
            "SELECT seq, transaction_id, event_time_ms, body FROM events"
            " WHERE kind = 'payment' AND seq > ? ORDER BY seq LIMIT ?",
            (last, slice_payments),
        ).fetchall()
        for seq, transaction_id, event_time_ms, body in found:
            parties = _parties(body)
            yield seq, transaction_id, parties.payer_id, parties.device_id, parties.payee_id, event_time_ms
        if len(found) < slice_payments:
            return
        last = found[-1][0]


def _newest(index: sqlite3.Connection) -> tuple[int, str]:
    row = index.execute("SELECT seq, transaction_id FROM payment_index ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, "") if row is None else (int(row[0]), str(row[1]))


def _parties(body: bytes) -> _Parties:
    """The parties of a payment; empty ones, which no search finds, if the payment cannot be read."""
    try:
        return _decode(body).payment
    except (msgspec.DecodeError, TypeError):
        return _Parties(payer_id="", payee_id="")


def _last_folded(index: sqlite3.Connection, ledger: SqlConnection) -> int:
    """The newest payment already folded; an index of another ledger is emptied first."""
    newest = _newest(index)
    if not newest[0]:
        return 0
    if ledger.execute("SELECT 1 FROM events WHERE seq = ? AND transaction_id = ?", newest).fetchone() is None:
        index.execute("DELETE FROM payment_index")
        return 0
    return newest[0]


def behind(index: sqlite3.Connection, ledger: SqlConnection) -> int:
    """How many payments of the ledger the index has not folded yet; counted up to `MOST_COUNTED`."""
    (last,) = index.execute("SELECT coalesce(max(seq), 0) FROM payment_index").fetchone()
    (waiting,) = ledger.execute(
        "SELECT count(*) FROM (SELECT 1 FROM events WHERE kind = 'payment' AND seq > ? LIMIT ?) AS waiting",
        (last, MOST_COUNTED),
    ).fetchone()
    return int(waiting)


def payments_of(
    index: sqlite3.Connection, ledger: SqlConnection, party: Party, identifier: str, *, limit: int
) -> list[Event]:
    """The latest payments of one payer, device or payee, newest first."""
    if party not in PARTIES:
        raise ValueError(f"a party is one of {', '.join(PARTIES)}, not {party!r}")
    seqs = [
        seq
        for (seq,) in index.execute(
            f"SELECT seq FROM payment_index WHERE {party}_id = ? ORDER BY event_time_ms DESC, seq DESC LIMIT ?",
            (identifier, limit),
        )
    ]
    return events_at(ledger, seqs)
