"""What the ledger knows about the payments around a case, read beside the service that writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.errors import LedgerUnavailable
from serving.ledger.reader import Reader


@dataclass(frozen=True)
class LedgerEvent:
    """One row of the ledger, its body still JSON bytes; times in ms UTC."""

    seq: int
    kind: str
    transaction_id: str
    event_time_ms: int
    arrival_time_ms: int
    body: bytes


#: What these functions ask; nobody else needs to know the driver.
Connection = Reader


def connect(path: Path) -> sqlite3.Connection:
    """A connection of the desk to a ledger that the service keeps; never creates one.

    Raises: LedgerUnavailable if there is no ledger yet.
    """
    if not path.is_file():
        raise LedgerUnavailable(
            f"There is no ledger at {path} yet.", "Start the scoring service first; it creates the ledger."
        )
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    # The service copies the log back beside its own work; a verdict must not trigger that.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for the time of one task.

    Raises: LedgerUnavailable if the ledger is missing, locked for too long or cannot be read.
    """
    try:
        with closing(connect(path)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        raise LedgerUnavailable(
            "The ledger could not be read or written just now; nothing was changed.",
            "Try again in a moment; if it stays, ask who runs the scoring service.",
        ) from error


_EVENT_COLUMNS = "seq, kind, transaction_id, event_time_ms, arrival_time_ms, body"


def history(connection: Connection, transaction_id: str) -> list[LedgerEvent]:
    """Everything the ledger knows about one transaction, in the order it arrived."""
    # Two halves, because the ledger has one partial index for payments and one for all that follows.
    rows = connection.execute(
        f"SELECT {_EVENT_COLUMNS} FROM events WHERE transaction_id = ? AND kind = 'payment'"
        f" UNION ALL SELECT {_EVENT_COLUMNS} FROM events"
        " WHERE transaction_id = ? AND kind <> 'payment' AND transaction_id <> '' ORDER BY seq",
        (transaction_id, transaction_id),
    )
    return [LedgerEvent(*row) for row in rows]


def payments_by_id(connection: sqlite3.Connection, transaction_ids: Sequence[str]) -> dict[str, LedgerEvent]:
    """The payment events of these transactions."""
    if not transaction_ids:
        return {}
    marks = ", ".join("?" * len(transaction_ids))
    rows = connection.execute(
        f"SELECT {_EVENT_COLUMNS} FROM events WHERE kind = 'payment' AND transaction_id IN ({marks})",
        list(transaction_ids),
    )
    return {event.transaction_id: event for event in (LedgerEvent(*row) for row in rows)}


def reports_of(connection: sqlite3.Connection, transaction_ids: Sequence[str]) -> list[LedgerEvent]:
    """Outcomes, labels and verdicts about these transactions, in the order they arrived."""
    if not transaction_ids:
        return []
    marks = ", ".join("?" * len(transaction_ids))
    rows = connection.execute(
        f"SELECT {_EVENT_COLUMNS} FROM events WHERE transaction_id IN ({marks})"
        " AND kind <> 'payment' AND transaction_id <> '' ORDER BY seq",
        list(transaction_ids),
    )
    return [LedgerEvent(*row) for row in rows]


def present_ms(connection: Connection) -> int | None:
    """The event time of the newest payment: the present, for a service on the replay clock."""
    row = connection.execute(
        "SELECT event_time_ms FROM events WHERE kind = 'payment' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return None if row is None else int(row[0])


def latest_promotion(connection: Connection) -> bytes | None:
    """The body of the newest `promotion` event: the bundle that decides; None before the first."""
    row = connection.execute(
        "SELECT body FROM events WHERE kind = 'promotion' AND kind <> 'payment' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return None if row is None else bytes(row[0])


def events_at(ledger: Connection, seqs: Sequence[int]) -> list[LedgerEvent]:
    """The events with these sequence numbers, in the order asked for."""
    if not seqs:
        return []
    marks = ", ".join("?" * len(seqs))
    rows = ledger.execute(
        f"SELECT {_EVENT_COLUMNS} FROM events WHERE seq IN ({marks})",
        list(seqs),
    )
    found = {row[0]: LedgerEvent(*row) for row in rows}
    return [found[seq] for seq in seqs if seq in found]
