"""The cases of the review desk: tables beside the ledger's events, written in the same transactions.

Two tables are derived from `events` and can be rebuilt from it: `payment_index` finds the payments of
one payer, device or payee; `cases` holds one row for each payment decided `review` or `decline`. The
verdict itself is an event: the row in `cases` only says that it was given.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec

from features.errors import RiskgateError
from features.money import reference_weights
from features.payment import LABELS, Payment

#: Decisions that a person looks at.
OPENING_DECISIONS = ("review", "decline")
STATUSES = ("open", "resolved")
#: What a payer, device or payee did around a case is read through these columns only.
PARTIES = ("payer", "device", "payee")
VERDICTS = LABELS

Party = Literal["payer", "device", "payee"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS payment_index (
    seq INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL,
    payer_id TEXT NOT NULL,
    device_id TEXT,
    payee_id TEXT NOT NULL,
    event_time_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS payment_of_transaction ON payment_index (transaction_id);
CREATE INDEX IF NOT EXISTS payments_of_payer ON payment_index (payer_id, event_time_ms);
CREATE INDEX IF NOT EXISTS payments_of_device ON payment_index (device_id, event_time_ms)
    WHERE device_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_of_payee ON payment_index (payee_id, event_time_ms);
CREATE TABLE IF NOT EXISTS cases (
    transaction_id TEXT PRIMARY KEY,
    opened_ms INTEGER NOT NULL,
    decision TEXT NOT NULL,
    score REAL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    payer_id TEXT NOT NULL,
    device_id TEXT,
    payee_id TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'open',
    risk_minor INTEGER NOT NULL,
    verdict TEXT,
    verdict_by TEXT,
    verdict_at INTEGER,
    note TEXT
);
CREATE INDEX IF NOT EXISTS cases_by_risk ON cases (status, risk_minor DESC, transaction_id);
"""

_CASE_COLUMNS = (
    "transaction_id, opened_ms, decision, score, amount_minor, currency, payer_id, device_id, payee_id, "
    "status, risk_minor, verdict, verdict_by, verdict_at, note"
)


class UnknownCase(RiskgateError):
    """No case was opened for this transaction."""

    code = "unknown_case"


class AlreadyResolved(RiskgateError):
    """Somebody gave the verdict first; a verdict is never overwritten."""

    code = "already_resolved"


@dataclass(frozen=True)
class Case:
    """One flagged payment; amounts in minor units of `currency`, times in ms UTC.

    `risk_minor` is the money at risk, score × amount, in minor units of the *reference* currency, so that
    cases of different currencies sort together. A payment that was never scored risks its whole amount.
    """

    transaction_id: str
    opened_ms: int
    decision: str
    score: float | None
    amount_minor: int
    currency: str
    payer_id: str
    device_id: str | None
    payee_id: str
    status: str
    risk_minor: int
    verdict: str | None
    verdict_by: str | None
    verdict_at: int | None
    note: str | None

    @property
    def is_open(self) -> bool:
        """Whether a verdict is still wanted."""
        return self.status == "open"


@dataclass(frozen=True)
class LedgerEvent:
    """One row of the ledger, its body still JSON bytes; times in ms UTC."""

    seq: int
    kind: str
    transaction_id: str
    event_time_ms: int
    arrival_time_ms: int
    body: bytes


_weights = cache(reference_weights)


def create_schema(connection: sqlite3.Connection) -> None:
    """Create the desk's tables and indexes where they are missing; the ledger calls this once it is open."""
    for statement in SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)


def risk_minor(score: float | None, amount_minor: int, currency: str, reference: str) -> int:
    """Money at risk in minor units of the reference currency.

    >>> risk_minor(0.5, 1000, "INR", "INR"), risk_minor(None, 1000, "USD", "INR")
    (500, 85000)
    """
    numerator, denominator = _weights(reference)[currency]
    probability = 1.0 if score is None else score
    return round(probability * (amount_minor * numerator // denominator))


def record_payment(
    connection: sqlite3.Connection,
    *,
    seq: int,
    payment: Payment,
    decision: str,
    score: float | None,
    opened_ms: int,
    reference: str = "INR",
) -> bool:
    """Index one payment by its parties, and open a case if its decision asks for one.

    The ledger calls this for every payment event, in the transaction that appends the event as `seq`.
    Returns whether a case was opened.
    """
    connection.execute(
        "INSERT INTO payment_index (seq, transaction_id, payer_id, device_id, payee_id, event_time_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            seq, payment.transaction_id, payment.payer_id, payment.device_id, payment.payee_id,
            payment.event_time_ms,
        ),
    )  # fmt: skip
    if decision not in OPENING_DECISIONS:
        return False
    connection.execute(
        "INSERT INTO cases (transaction_id, opened_ms, decision, score, amount_minor, currency, payer_id,"
        " device_id, payee_id, status, risk_minor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
        (
            payment.transaction_id, opened_ms, decision, score, payment.amount_minor, payment.currency,
            payment.payer_id, payment.device_id, payment.payee_id,
            risk_minor(score, payment.amount_minor, payment.currency, reference),
        ),
    )  # fmt: skip
    return True


def _filters(status: str | None, decision: str | None, find: str | None) -> tuple[str, list[Any]]:
    clauses, values = ["1"], []
    if status is not None:
        clauses.append("status = ?")
        values.append(status)
    if decision is not None:
        clauses.append("decision = ?")
        values.append(decision)
    if find is not None:
        clauses.append("? IN (transaction_id, payer_id, device_id, payee_id)")
        values.append(find)
    return " AND ".join(clauses), values


def queue(
    connection: sqlite3.Connection,
    *,
    status: str | None,
    decision: str | None,
    find: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Case], int]:
    """One stretch of the queue, open cases first and then by money at risk, and how many match in all.

    `find` is the exact identifier of a transaction, payer, device or payee; None filters nothing.
    """
    where, values = _filters(status, decision, find)
    (total,) = connection.execute(f"SELECT count(*) FROM cases WHERE {where}", values).fetchone()
    rows = connection.execute(
        f"SELECT {_CASE_COLUMNS} FROM cases WHERE {where}"
        " ORDER BY status, risk_minor DESC, transaction_id LIMIT ? OFFSET ?",
        [*values, limit, offset],
    )
    return [Case(*row) for row in rows], total


def open_totals(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many cases wait, and the money at risk in them in minor units of the reference currency."""
    count, risk = connection.execute(
        "SELECT count(*), coalesce(sum(risk_minor), 0) FROM cases WHERE status = 'open'"
    ).fetchone()
    return int(count), int(risk)


def case_of(connection: sqlite3.Connection, transaction_id: str) -> Case:
    """The case of one transaction.

    Raises: UnknownCase if the payment is unknown or its decision opened no case.
    """
    row = connection.execute(
        f"SELECT {_CASE_COLUMNS} FROM cases WHERE transaction_id = ?", (transaction_id,)
    ).fetchone()
    if row is None:
        raise UnknownCase(
            "There is no case for this transaction.",
            "Only payments decided review or decline are opened as cases; check the identifier.",
        )
    return Case(*row)


_EVENT_COLUMNS = ", ".join(
    f"events.{name}" for name in ("seq", "kind", "transaction_id", "event_time_ms", "arrival_time_ms", "body")
)


def history(connection: sqlite3.Connection, transaction_id: str) -> list[LedgerEvent]:
    """Everything the ledger knows about one transaction, in the order it arrived."""
    rows = connection.execute(
        f"SELECT {_EVENT_COLUMNS} FROM events WHERE transaction_id = ? ORDER BY seq", (transaction_id,)
    )
    return [LedgerEvent(*row) for row in rows]


def payments_of(
    connection: sqlite3.Connection, party: Party, identifier: str, *, limit: int
) -> list[LedgerEvent]:
    """The latest payments of one payer, device or payee, newest first."""
    if party not in PARTIES:
        raise ValueError(f"a party is one of {', '.join(PARTIES)}, not {party!r}")
    rows = connection.execute(
        f"SELECT {_EVENT_COLUMNS} FROM payment_index JOIN events USING (seq)"
        f" WHERE payment_index.{party}_id = ? ORDER BY payment_index.event_time_ms DESC, seq DESC LIMIT ?",
        (identifier, limit),
    )
    return [LedgerEvent(*row) for row in rows]


def latest_event_time_ms(connection: sqlite3.Connection) -> int | None:
    """The event time of the newest payment: the present, for a service on the replay clock."""
    row = connection.execute("SELECT event_time_ms FROM payment_index ORDER BY seq DESC LIMIT 1").fetchone()
    return None if row is None else int(row[0])


def resolve(
    connection: sqlite3.Connection,
    *,
    transaction_id: str,
    verdict: str,
    note: str,
    actor: str,
    event_time_ms: int,
    arrival_time_ms: int,
) -> int:
    """Append a verdict to the ledger and close its case, both or neither; returns the event's seq.

    Raises: UnknownCase; AlreadyResolved if a verdict was given before, whoever gave it.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
    body = msgspec.json.encode(
        {"transaction_id": transaction_id, "verdict": verdict, "note": note, "by": actor, "at": event_time_ms}
    )
    # IMMEDIATE takes the write lock before the case is read: two analysts cannot both see it open.
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        case = case_of(connection, transaction_id)
        if not case.is_open:
            raise AlreadyResolved(
                f"This case was already resolved as {case.verdict} by {case.verdict_by}.",
                "Go back to the queue; your verdict was not recorded and nothing was changed.",
            )
        cursor = connection.execute(
            "INSERT INTO events (kind, transaction_id, event_time_ms, arrival_time_ms, body)"
            " VALUES ('verdict', ?, ?, ?, ?)",
            (transaction_id, event_time_ms, arrival_time_ms, body),
        )
        connection.execute(
            "UPDATE cases SET status = 'resolved', verdict = ?, verdict_by = ?, verdict_at = ?, note = ?"
            " WHERE transaction_id = ?",
            (verdict, actor, event_time_ms, note, transaction_id),
        )
    return int(cursor.lastrowid or 0)
