"""Finds the payments of one payer, device or payee: the desk's own index, a fold of the ledger.

It lives in a file of its own beside the ledger, so the payment path pays nothing for it and no lock of the
ledger is ever taken. It may be deleted at any time; the next look builds it again.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from serving.cases.queries import LedgerEvent, events_at
from serving.ledger.reader import Reader

Party = Literal["payer", "device", "payee"]
PARTIES: tuple[Party, ...] = ("payer", "device", "payee")

#: Payments that one statement reads: it keeps the read of the ledger short.
SLICE = 2_000
#: Slices that the background folds in one transaction. The indexes are in random order: every transaction writes
#: most of the pages that its payments fall on, in a long index nearly one for each of them.
BULK_SLICES = 25
#: What a bulk touches stays in memory until its commit, kilobytes.
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
    """A connection to the index, created empty where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    index = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    index.execute("PRAGMA journal_mode=WAL")
    # It can always be built again: no need to wait for the disk.
    index.execute("PRAGMA synchronous=OFF")
    index.execute(f"PRAGMA cache_size=-{CACHE_KB}")
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            index.execute(statement)
    return index


def catch_up(index: sqlite3.Connection, ledger: Reader, slices: int = 1) -> int:
    """Fold the next slices of the ledger's payments into the index; returns how many payments, 0 when level.

    All of them are one transaction, and the ledger is read before it begins: it is short, and safe to run from
    several threads, which may fold the same payments.
    """
    last = _last_folded(index, ledger)
    rows = list(itertools.islice(_payments_after(ledger, last), slices * SLICE))
    index.execute("BEGIN IMMEDIATE")
    with index:
        # Emptied since then by another thread: the next call begins at the first payment.
        if _newest(index)[0] >= last:
            index.executemany("INSERT OR IGNORE INTO payment_index VALUES (?, ?, ?, ?, ?, ?)", rows)
    return len(rows)


def _payments_after(ledger: Reader, last: int) -> Iterator[tuple[int, str, str, str | None, str, int]]:
    """Rows of the index for the payments after a sequence number; each statement reads one slice of the ledger."""
    while True:
        found = ledger.execute(
            "SELECT seq, transaction_id, event_time_ms, body FROM events"
            " WHERE kind = 'payment' AND seq > ? ORDER BY seq LIMIT ?",
            (last, SLICE),
        ).fetchall()
        for seq, transaction_id, event_time_ms, body in found:
            parties = _parties(body)
            yield seq, transaction_id, parties.payer_id, parties.device_id, parties.payee_id, event_time_ms
        if len(found) < SLICE:
            return
        last = found[-1][0]


def _newest(index: sqlite3.Connection) -> tuple[int, str]:
    row = index.execute("SELECT seq, transaction_id FROM payment_index ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, "") if row is None else (int(row[0]), str(row[1]))


def _parties(body: bytes) -> _Parties:
    """The parties of a payment; of one that cannot be read a row that no search finds, so that the index goes on."""
    try:
        return _decode(body).payment
    except (msgspec.DecodeError, TypeError):
        return _Parties(payer_id="", payee_id="")


def _last_folded(index: sqlite3.Connection, ledger: Reader) -> int:
    """The newest payment already folded; an index that was made of another ledger is emptied first."""
    newest = _newest(index)
    if not newest[0]:
        return 0
    if ledger.execute("SELECT 1 FROM events WHERE seq = ? AND transaction_id = ?", newest).fetchone() is None:
        index.execute("DELETE FROM payment_index")
        return 0
    return newest[0]


def behind(index: sqlite3.Connection, ledger: Reader) -> int:
    """How many payments of the ledger the index has not folded yet; counted up to `MOST_COUNTED`."""
    (last,) = index.execute("SELECT coalesce(max(seq), 0) FROM payment_index").fetchone()
    (waiting,) = ledger.execute(
        "SELECT count(*) FROM (SELECT 1 FROM events WHERE kind = 'payment' AND seq > ? LIMIT ?) AS waiting",
        (last, MOST_COUNTED),
    ).fetchone()
    return int(waiting)


def payments_of(
    index: sqlite3.Connection, ledger: Reader, party: Party, identifier: str, *, limit: int
) -> list[LedgerEvent]:
    """The latest payments of one payer, device or payee, newest first, as recorded in the ledger."""
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
