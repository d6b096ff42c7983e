"""Replies other than a decision, the one error shape, and the functions that build it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from features.domain.payment import FieldWarning
from features.errors import Malformed, Problem, Refused, RiskgateError
from serving.errors import Conflict, LedgerUnavailable, Overloaded, ServiceError, TooManyRequests

log = logging.getLogger("riskgate.http")


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong, in which field, and the repair; `problems` lists all when there are several.

    A conflict with a payment that was decided before repeats its `decision` and `receipt_id`.
    """

    code: str
    message: str
    repair: str
    field: str | None = None
    problems: tuple[Problem, ...] = ()
    decision: str | None = None
    receipt_id: str | None = None


class Error(msgspec.Struct, frozen=True):
    """The one error shape."""

    error: ErrorBody


class _Warned(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a reply that every report gets: what was kept in another form, or not at all."""

    warnings: tuple[FieldWarning, ...] = ()


class Recorded(_Warned, frozen=True):
    """The reply to an outcome: the value recorded for the transaction.

    `status` is `applied`, or `waiting` for a payment that is not known here.
    """

    transaction_id: str
    recorded: str
    status: str


class RecordedLabel(Recorded, frozen=True):
    """The reply to a label: the value recorded for the transaction, and the label in force after it.

    `status` is `applied`, `outranked` by another label, or `waiting` for a payment that is not known here.
    """

    effective: str | None


class Live(msgspec.Struct, frozen=True):
    """The reply of `/livez`."""

    live: bool


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reply of `/readyz`: each check is `ok` or a sentence that says what is wrong.

    `notes` need an operator's attention although payments are scored in full.
    """

    ready: bool
    checks: dict[str, str]
    notes: dict[str, str] = {}


def refusal(error: RiskgateError) -> tuple[int, Error]:
    """The HTTP status and the body of a refusal."""
    if isinstance(error, Refused):
        return 422, of_problems(error.problems)
    if isinstance(error, ServiceError):
        status = error.status
    elif isinstance(error, Malformed):
        status = 400
    else:
        status = 422
    body = ErrorBody(error.code, error.message, error.repair, error.field)
    if isinstance(error, Conflict):
        body = msgspec.structs.replace(body, decision=error.decision, receipt_id=error.receipt_id)
    return status, Error(body)


def of_problems(problems: Sequence[Problem]) -> Error:
    """All problems of one input in the one error shape; the first gives `code` and `field`."""
    first = problems[0]
    if len(problems) == 1:
        return Error(ErrorBody(first.code, first.message, first.repair, first.field))
    message = " ".join(problem.sentence() for problem in problems)
    return Error(ErrorBody(first.code, message, first.repair, first.field, tuple(problems)))


def unexpected(error: BaseException) -> tuple[int, Error]:
    """The reply to an unexpected error, whose text stays in the log."""
    log.error("unexpected %s while answering", type(error).__name__, exc_info=error)
    return 500, Error(
        ErrorBody("internal", "The service met an unexpected error.", "Try again; its log has the details.")
    )


def retry_after_seconds(error: RiskgateError) -> int | None:
    """The Retry-After of a refusal, or None."""
    if isinstance(error, TooManyRequests):
        return error.seconds
    return 1 if isinstance(error, (Overloaded, LedgerUnavailable)) else None
