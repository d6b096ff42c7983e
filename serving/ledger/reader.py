"""The queries of the ledger, in SQL that SQLite and PostgreSQL both run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

#: The low bits of a sequence number of the production profile: a counter within one millisecond.
COUNT_BITS = 20
#: Rows per statement of a walk.
PAGE = 2_000
#: Above every sequence number.
_BEYOND_ALL = 2**63 - 1
COLUMNS = "seq, kind, transaction_id, event_time_ms, arrival_time_ms, body"


class Event(NamedTuple):
    """One row of the ledger; times are milliseconds UTC, `body` is JSON."""

    seq: int
    kind: str
    transaction_id: str
    event_time_ms: int
    arrival_time_ms: int
    body: bytes


class Rows(Protocol):
    """The result of a statement."""

    def fetchone(self) -> Any:
        """The next row or None."""

    def fetchall(self) -> list[Any]:
        """The remaining rows."""

    def __iter__(self) -> Iterator[Any]: ...


class SqlConnection(Protocol):
    """A connection to the database of the ledger, in autocommit mode; parameters in qmark style."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement."""

    def close(self) -> None:
        """Close the connection."""


def _is_before(arrival_ms: object, moment_ms: int) -> bool:
    """A row written by hand may have any type there; who reads the event sets it aside."""
    return isinstance(arrival_ms, int) and arrival_ms < moment_ms


class LedgerReader:
    """The queries that a ledger answers, ordered by sequence number, which is the order of folding."""

    _connection: SqlConnection

    @property
    def connection(self) -> SqlConnection:
        """The connection, for the queries of other rooms."""
        return self._connection

    def event(self, seq: int) -> Event | None:
        """The event of that sequence number, or None."""
        row = self._connection.execute(f"SELECT {COLUMNS} FROM events WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else Event(*row)

    def payment(self, transaction_id: str) -> Event | None:
        """The scored payment of that id, or None."""
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM events WHERE transaction_id = ? AND kind = 'payment'", (transaction_id,)
        ).fetchone()
        return None if row is None else Event(*row)

    def reports(self, transaction_id: str, kind: str) -> list[Event]:
        """Outcomes, labels or verdicts of one transaction, in order."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM events WHERE transaction_id = ? AND kind = ?"
            " AND kind <> 'payment' AND transaction_id <> '' ORDER BY seq",
            (transaction_id, kind),
        )
        return [Event(*row) for row in rows]

    def of_kind(self, kind: str, after_seq: int = 0) -> list[Event]:
        """Events of one kind other than payment, after a sequence number, in order."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM events WHERE kind = ? AND seq > ? AND kind <> 'payment' ORDER BY seq",
            (kind, after_seq),
        )
        return [Event(*row) for row in rows]

    def each_of_kind(self, kind: str, *, after_seq: int = 0, page: int = PAGE) -> Iterator[Event]:
        """Every event of one kind other than payment after a sequence number, in order, one page of rows in memory."""
        while True:
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM events WHERE kind = ? AND seq > ? AND kind <> 'payment'"
                f" ORDER BY seq LIMIT {page}",
                (kind, after_seq),
            ).fetchall()
            yield from (Event(*row) for row in rows)
            if len(rows) < page:
                return
            after_seq = rows[-1][0]

    def since(self, kind: str, arrival_ms: int, *, page: int = PAGE) -> list[Event]:
        """Events of one kind other than payment that arrived since then (ms UTC), in order; reads no older pages."""
        found: list[Event] = []
        before_seq = _BEYOND_ALL
        while True:
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM events WHERE kind = ? AND seq < ? AND kind <> 'payment'"
                f" ORDER BY seq DESC LIMIT {page}",
                (kind, before_seq),
            ).fetchall()
            fresh = [one for one in map(Event._make, rows) if not _is_before(one.arrival_time_ms, arrival_ms)]
            found += fresh
            if len(rows) < page or not fresh:
                return found[::-1]
            before_seq = rows[-1][0]

    def walk(self, after_seq: int = 0, *, page: int = PAGE) -> Iterator[Event]:
        """Every event after a sequence number, in order, one page of rows in memory."""
        while True:
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT {page}", (after_seq,)
            ).fetchall()
            if not rows:
                return
            for row in rows:
                yield Event(*row)
            after_seq = rows[-1][0]

    def has_past(self) -> bool:
        """Whether there is a payment or an imported history; reads one index entry of each."""
        rows = self._connection.execute(
            "SELECT 1 FROM events WHERE kind = 'payment' ORDER BY transaction_id LIMIT 1"
        ).fetchall()
        if rows:
            return True
        # There is one history at most. With a LIMIT the planner might choose a sequential scan.
        (histories,) = self._connection.execute(
            "SELECT count(*) FROM events WHERE kind = 'history' AND kind <> 'payment'"
        ).fetchone()
        return bool(histories)

    def last_seq(self) -> int:
        """The sequence number of the latest event; 0 for an empty ledger."""
        # PostgreSQL answers `max(seq)` from the index of a plain table only, and scans a view.
        row = self._connection.execute("SELECT seq FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        return 0 if row is None else int(row[0])

    def count(self) -> int:
        """How many events the ledger holds."""
        (number,) = self._connection.execute("SELECT count(*) FROM events").fetchone()
        return int(number)

    def gaps(self) -> list[tuple[int, int]]:
        """First and last missing sequence number of each gap, for ledgers that number without gaps; reads all rows."""
        rows = self._connection.execute(
            "SELECT before + 1, seq - 1 FROM"
            " (SELECT seq, lag(seq, 1, 0) OVER (ORDER BY seq) AS before FROM events) AS numbered"
            " WHERE seq <> before + 1"
        ).fetchall()
        return [(int(first), int(last)) for first, last in rows]

    def release(self) -> None:
        """Close the connection without writing anything."""
        self._connection.close()
