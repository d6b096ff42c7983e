"""The rules of cases, and their queries, which SQLite and PostgreSQL both run.

The table `cases` has one row for each payment decided `review` or `decline`, written in the transaction of the
decision. The verdict itself is an event; the row only repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from features.domain.payment import LABELS
from serving.errors import ServiceError
from serving.ledger.reader import SqlConnection

#: Decisions that open a case.
OPENING_DECISIONS = ("review", "decline")
VERDICTS = LABELS

_CASE_COLUMNS = (
    "transaction_id, opened_ms, decision, score, amount_minor, currency, payer_id, device_id, payee_id, "
    "status, risk_minor, verdict, verdict_by, verdict_at, note"
)


class UnknownCase(ServiceError):
    """No case was opened for this transaction."""

    status = 404


class AlreadyResolved(ServiceError):
    """The case already has a verdict, which is never overwritten."""

    status = 409


@dataclass(frozen=True)
class Case:
    """One flagged payment; amounts in minor units of `currency`, times in ms UTC.

    `risk_minor` is the money at risk, score × amount, in minor units of the *reference* currency, so that cases of
    different currencies are comparable. Without a score the whole amount is at risk.
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
        """Whether the case still needs a verdict."""
        return self.status == "open"


class Verdict(msgspec.Struct, frozen=True):
    """What a person decided about one case; times in ms UTC."""

    transaction_id: str
    verdict: str
    note: str
    actor: str
    event_time_ms: int
    arrival_time_ms: int

    def body(self) -> bytes:
        """The body of its event."""
        if self.verdict not in VERDICTS:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}, not {self.verdict!r}")
        fields = {"transaction_id": self.transaction_id, "verdict": self.verdict, "note": self.note}
        return msgspec.json.encode({**fields, "by": self.actor, "at": self.event_time_ms})


def _filters(status: str | None, decision: str | None, find: str | None) -> tuple[str, list[Any]]:
    clauses, values = ["1 = 1"], []
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
    connection: SqlConnection,
    *,
    status: str | None,
    decision: str | None,
    find: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Case], int]:
    """One page of the queue, open cases first and then by money at risk, and the total number of matches.

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


def open_totals(connection: SqlConnection) -> tuple[int, int]:
    """The number of open cases, and their money at risk in minor units of the reference currency."""
    count, risk = connection.execute(
        "SELECT count(*), coalesce(sum(risk_minor), 0) FROM cases WHERE status = 'open'"
    ).fetchone()
    return int(count), int(risk)


def case_of(connection: SqlConnection, transaction_id: str) -> Case:
    """The case of one transaction.

    Raises: UnknownCase if the payment is unknown or has no case.
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


def check_open(case: Case) -> None:
    """Refuse a second verdict.

    Raises: AlreadyResolved.
    """
    if not case.is_open:
        raise AlreadyResolved(
            f"This case was already resolved as {case.verdict} by {case.verdict_by}.",
            "Go back to the queue; your verdict was not recorded and nothing was changed.",
        )
