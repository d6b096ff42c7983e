"""Which outcomes exclude each other, which are the same again, and how much of a payment can still be refunded.

Outcomes are ordered by event time; one that arrives early is kept. Only final states that exclude each other are
refused: the table below is all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from features.errors import Problem, Refused
from serving.errors import Conflict
from serving.feedback.reports import KnownReport

#: Outcomes that a payment may have several times without stating an amount.
_SEVERAL = frozenset(("chargeback_opened", "chargeback_won", "chargeback_lost"))
_MONEY_MOVED = ("captured", "settled", "refunded", *sorted(_SEVERAL))


class Exclusion(NamedTuple):
    """Two outcomes that exclude each other.

    `second` cannot come after `first`; with `either_order` not before it either. `unless` names an outcome that makes
    the pair possible: at or before `first`, or `between` the two.
    """

    first: str
    second: str
    reason: str
    either_order: bool = False
    unless: str | None = None
    between: bool = False


_DECLINED = "the issuer declined the payment, and what was declined moves no money"
_VOIDED = "the authorisation was given up before anything was captured"
_DISPUTE = "one dispute has one end"

#: Every pair that is refused. A reversal goes with all of them: it undoes whatever happened, a decline that debited the
#: payer too. A void after a capture in parts gives up the rest; of what was captured the money still moves.
EXCLUSIONS: tuple[Exclusion, ...] = (
    *(Exclusion("declined", one, _DECLINED, either_order=True) for one in ("authorised", *_MONEY_MOVED)),
    *(
        Exclusion("voided", one, _VOIDED, either_order=one == "settled", unless="captured")
        for one in _MONEY_MOVED
        if one != "captured"
    ),
    Exclusion("voided", "captured", _VOIDED),
    Exclusion("chargeback_won", "chargeback_lost", _DISPUTE, unless="chargeback_opened", between=True),
    Exclusion("chargeback_lost", "chargeback_won", _DISPUTE, unless="chargeback_opened", between=True),
)


def is_repeated(report: KnownReport, outcomes: Sequence[KnownReport]) -> bool:
    """Whether an outcome is among these already.

    What states an amount, and a step of a dispute, happens again at another time: two equal refunds are two. All else
    happens once, whatever time a retry states.
    """
    if any(report.repeats(one) for one in outcomes):
        return True
    if report.amount_minor is not None or report.value in _SEVERAL:
        return False
    said = (report.value, report.amount_minor, report.reason_code)
    return any((one.value, one.amount_minor, one.reason_code) == said for one in outcomes)


def check_outcome(
    transaction_id: str, report: KnownReport, outcomes: Sequence[KnownReport], payment_minor: int | None
) -> None:
    """Refuse an outcome that contradicts these, which are in order of arrival.

    `payment_minor` is the amount of the payment, None while it is not known.
    Raises: Conflict; Refused for a refund of more than was captured.
    """
    ordered = sorted((*outcomes, report), key=lambda one: one.reported_at_ms)  # stable: ties in order of arrival
    for one in outcomes:
        found = _exclusion(report, one, ordered)
        if found is not None:
            raise Conflict(
                f"Transaction `{transaction_id}` is {one.value}: {found.reason}.",
                f"Find out which of {one.value} and {report.value} is right; what was recorded stays.",
                "outcome",
            )
    if report.value == "refunded" and report.amount_minor is not None:
        left = refundable_minor(outcomes, payment_minor)
        if left is not None and report.amount_minor > left:
            problem = Problem(
                "exceeds_captured", f"is more than the {left} minor units that were captured and not yet refunded.",
                "amount_minor", "Send what was really refunded, and report every capture first.",
            )  # fmt: skip
            raise Refused([problem])


def _exclusion(report: KnownReport, other: KnownReport, ordered: list[KnownReport]) -> Exclusion | None:
    a, b = _place(report, ordered), _place(other, ordered)
    first, second = (ordered[min(a, b)], ordered[max(a, b)])
    for one in EXCLUSIONS:
        if (one.first, one.second) == (first.value, second.value):
            until = max(a, b) if one.between else min(a, b)
        elif one.either_order and (one.first, one.second) == (second.value, first.value):
            until = max(a, b)
        else:
            continue
        since = min(a, b) if one.between else 0
        if one.unless is None or all(each.value != one.unless for each in ordered[since:until]):
            return one
    return None


def _place(report: KnownReport, ordered: list[KnownReport]) -> int:
    return next(place for place, one in enumerate(ordered) if one is report)


def refundable_minor(outcomes: Sequence[KnownReport], payment_minor: int | None) -> int | None:
    """What was captured and not yet refunded, minor units; None while that cannot be known.

    Without any report of a capture the whole payment counts as captured: many callers report refunds only. A capture
    without an amount is the rest of the payment, a refund without one the rest of what was captured. A capture may be
    larger than the payment (tips, incremental authorisations).

    >>> capture = KnownReport("outcome", "captured", None, 0)
    >>> refundable_minor([capture, KnownReport("outcome", "refunded", None, 1, 400)], 1_000)
    600
    """
    captured = refunded = 0
    any_capture = False
    for one in outcomes:
        if one.value == "captured":
            any_capture = True
            if one.amount_minor is not None:
                captured += one.amount_minor
            elif payment_minor is None:
                return None
            else:
                captured = max(captured, payment_minor)
        elif one.value == "refunded":
            limit = captured if any_capture else payment_minor
            if one.amount_minor is not None:
                refunded += one.amount_minor
            elif limit is None:
                return None
            else:
                refunded = max(refunded, limit)
    limit = captured if any_capture else payment_minor
    return None if limit is None else max(0, limit - refunded)
