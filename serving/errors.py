"""Errors of the service: the branches of the one error tree with an HTTP status, and failures of the ledger."""

from __future__ import annotations

from features.errors import RiskgateError


class LedgerError(Exception):
    """The database of the ledger failed; `__cause__` is the error of its driver, if a driver raised one."""


class DamagedLedger(LedgerError):
    """Bytes of the SQLite ledger are not what was written; `located` if the message says where."""

    def __init__(self, message: str, repair: str, *, located: bool = False) -> None:
        super().__init__(f"{message} {repair}")
        self.located = located
        self.message = message
        self.repair = repair


class CannotStart(RiskgateError):
    """A start that would be wrong or unsafe; always fatal."""


class ServiceError(RiskgateError):
    """A refused request; `status` is the HTTP status of the reply."""

    status = 400


class Unauthorised(ServiceError):
    """No API key, or a wrong one."""

    status = 401


class Forbidden(ServiceError):
    """An API key without the scope that the request needs."""

    status = 403


class ForeignCaller(ServiceError):
    """A service without keys was called under a host name that is not loopback, or by a page of another origin."""

    status = 403


class UnreadType(ServiceError):
    """A body with an unsupported content type."""

    status = 415


class UnreadCoding(ServiceError):
    """A body in a content coding that is not read."""

    status = 415


class UnknownTransaction(ServiceError):
    """A transaction this service has not scored and no imported history holds."""

    status = 404


class UnknownRoute(ServiceError):
    """A path that is not in the contract."""

    status = 404


class UnknownList(ServiceError):
    """A list that is neither block nor allow nor watch."""

    status = 404


class WrongMethod(ServiceError):
    """A path of the contract called with another HTTP method."""

    status = 405

    def __init__(self, message: str, repair: str, allowed: str) -> None:
        super().__init__(message, repair)
        self.allowed = allowed


class Conflict(ServiceError):
    """A known id for another payment, with the decision that was recorded, or a report that contradicts another."""

    status = 409

    def __init__(
        self,
        message: str,
        repair: str,
        field: str | None = None,
        *,
        decision: str | None = None,
        receipt_id: str | None = None,
    ) -> None:
        super().__init__(message, repair, field)
        self.decision, self.receipt_id = decision, receipt_id


class SlowBody(ServiceError):
    """A body that did not arrive in time."""

    status = 408


class TooLarge(ServiceError):
    """A body beyond the limit."""

    status = 413


class BatchTooLarge(ServiceError):
    """More payments than can be decided before the batch's deadline."""

    status = 413


class TooManyRequests(ServiceError):
    """A caller beyond its rate; `seconds` is the Retry-After."""

    status = 429

    def __init__(self, message: str, repair: str, seconds: int = 1) -> None:
        super().__init__(message, repair)
        self.seconds = seconds


class Overloaded(ServiceError):
    """More requests in flight than even an empty endpoint could answer in time."""

    status = 503


class LedgerUnavailable(ServiceError):
    """The ledger cannot be read or written: reports are refused, payments still get a decision."""

    status = 503


class StateUnavailable(LedgerUnavailable):
    """Redis does not answer in time: payments are decided at a lower tier, reports are refused."""


class BrokenReceipt(ServiceError):
    """A receipt whose bytes were changed after they were written."""

    status = 500
