"""Finds the payments of one payer, device or payee: the desk's own index, a fold of the ledger.

It lives in a file of its own beside the ledger, so the payment path pays nothing for it and no lock of the
ledger is ever taken. It may be deleted at any time; the next look builds it again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

import msgspec

from serving.case_events import LedgerEvent, events_at
from serving.ledger_reading import Reader

Party = Literal["payer", "device", "payee"]
PARTIES: tuple[Party, ...] = ("payer", "device", "payee")

#: Payments folded in one transaction; a slice keeps the read of the ledger short.
SLICE = 2_000
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
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            index.execute(statement)
    return index


def catch_up(index: sqlite3.Connection, ledger: Reader) -> int:
    """Fold the next slice of the ledger's payments into the index; returns how many, 0 when level.

    Safe to call from several threads: each slice is folded under the index's own write lock.
    """
    index.execute("BEGIN IMMEDIATE")
    with index:
        last = _last_folded(index, ledger)
        rows = []
        for seq, transaction_id, event_time_ms, body in ledger.execute(
            "SELECT seq, transaction_id, event_time_ms, body FROM events"
            " WHERE kind = 'payment' AND seq > ? ORDER BY seq LIMIT ?",
            (last, SLICE),
        ):
            parties = _parties(body)
            rows.append((seq, transaction_id, parties.payer_id, parties.device_id, parties.payee_id, event_time_ms))
        index.executemany("INSERT INTO payment_index VALUES (?, ?, ?, ?, ?, ?)", rows)
    return len(rows)


def _parties(body: bytes) -> _Parties:
    """The parties of a payment; of one that cannot be read a row that no search finds, so that the index goes on."""
    try:
        return _decode(body).payment
    except (msgspec.DecodeError, TypeError):
        return _Parties(payer_id="", payee_id="")


def _last_folded(index: sqlite3.Connection, ledger: Reader) -> int:
    """The newest payment already folded; an index that was made of another ledger is emptied first."""
    newest = index.execute("SELECT seq, transaction_id FROM payment_index ORDER BY seq DESC LIMIT 1").fetchone()
    if newest is None:
        return 0
    same = ledger.execute("SELECT 1 FROM events WHERE seq = ? AND transaction_id = ?", newest).fetchone()
    if same is None:
        index.execute("DELETE FROM payment_index")
        return 0
    return int(newest[0])


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
