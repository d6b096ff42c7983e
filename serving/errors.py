"""What the service refuses, as branches of the one error tree; `status` is the HTTP status."""

from __future__ import annotations

import sqlite3

from features.errors import RiskgateError

#: What writing or reading the ledger may raise; nobody else needs to know the driver.
LedgerError = sqlite3.Error


class CannotStart(RiskgateError):
    """A start that would be wrong or unsafe: told loudly, never survived."""

    code = "cannot_start"


class ServiceError(RiskgateError):
    """A request that is refused with an HTTP status of its own."""

    status = 400


class Unauthorised(ServiceError):
    """No key, or a wrong one."""

    code = "unauthorised"
    status = 401


class Forbidden(ServiceError):
    """A key that may not do what was asked."""

    code = "forbidden"
    status = 403


class ForeignCaller(ServiceError):
    """A service without keys was called by another name than this machine's own, or by a page from elsewhere."""

    code = "foreign_caller"
    status = 403


class UnreadType(ServiceError):
    """A body of a type that is not read."""

    code = "unread_type"
    status = 415


class UnknownTransaction(ServiceError):
    """A transaction this service has not scored and no imported history holds."""

    code = "unknown_transaction"
    status = 404


class UnknownRoute(ServiceError):
    """A path that is not in the contract."""

    code = "unknown_route"
    status = 404


class WrongMethod(ServiceError):
    """A path of the contract called with another HTTP method."""

    code = "wrong_method"
    status = 405

    def __init__(self, message: str, repair: str, allowed: str) -> None:
        super().__init__(message, repair)
        self.allowed = allowed


class Conflict(ServiceError):
    """The same id with other content, or a report that contradicts a later one."""

    code = "conflict"
    status = 409


class SlowBody(ServiceError):
    """A body that did not arrive in time."""

    code = "slow_body"
    status = 408


class TooLarge(ServiceError):
    """A body beyond the limit."""

    code = "too_large"
    status = 413


class TooManyRequests(ServiceError):
    """A caller beyond its rate; `seconds` is when it may come back."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, repair: str, seconds: int = 1) -> None:
        super().__init__(message, repair)
        self.seconds = seconds


class Overloaded(ServiceError):
    """More requests under way than even an empty endpoint could answer in time."""

    code = "overloaded"
    status = 503


class LedgerUnavailable(ServiceError):
    """The ledger cannot be written, so a report cannot be accepted (a payment still gets a decision)."""

    code = "ledger_unavailable"
    status = 503


class StateUnavailable(LedgerUnavailable):
    """Redis does not answer in time: payments are decided at a lower tier, reports are refused."""

    code = "state_unavailable"


class BrokenReceipt(ServiceError):
    """A receipt whose bytes were changed after they were written."""

    code = "broken_receipt"
    status = 500
