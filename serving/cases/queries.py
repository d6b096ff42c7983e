"""Queries of the review desk: the events of the ledger around a case, in SQL that both databases run."""

from __future__ import annotations

from collections.abc import Sequence

from serving.ledger.reader import COLUMNS, Event, SqlConnection


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
    found = _events_with(connection, "transaction_id", transaction_ids, "AND kind = 'payment'")
    return {event.transaction_id: event for event in found}


def reports_of(connection: SqlConnection, transaction_ids: Sequence[str]) -> list[Event]:
    """Outcomes, labels and verdicts of these transactions, in order of arrival."""
    others = "AND kind <> 'payment' AND transaction_id <> '' ORDER BY seq"
    return _events_with(connection, "transaction_id", transaction_ids, others)


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
    found = {event.seq: event for event in _events_with(ledger, "seq", seqs)}
    return [found[seq] for seq in seqs if seq in found]


def _events_with(
    connection: SqlConnection, column: str, values: Sequence[str] | Sequence[int], rest: str = ""
) -> list[Event]:
    """The events with one of these values in a column; `rest` is the end of the statement."""
    if not values:
        return []
    marks = ", ".join("?" * len(values))
    rows = connection.execute(f"SELECT {COLUMNS} FROM events WHERE {column} IN ({marks}) {rest}", list(values))
    return [Event(*row) for row in rows]
