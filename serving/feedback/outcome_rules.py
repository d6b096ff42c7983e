"""Which outcomes exclude each other, which are the same again, and how early one may be dated.

Outcomes are ordered by event time; one that arrives early is kept. Only final states that exclude each other are
refused: the table below is all of them. The rules hold for new reports; what an older release recorded is still folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from features.domain.payment import Payment
from features.errors import Problem, Refused
from features.intake.parse import moment_of
from serving.errors import Conflict
from serving.feedback.outcome_amounts import check_amount, ends_all
from serving.feedback.reports import KnownReport

#: Outcomes that a payment may have several times without stating an amount.
_SEVERAL = frozenset(("chargeback_opened", "chargeback_won", "chargeback_lost"))
_MONEY_MOVED = ("captured", "settled", "refunded", *sorted(_SEVERAL))
#: How far before its payment an outcome may be dated, ms: clocks differ, and some systems know days only.
MOST_BEFORE_MS = 86_400_000


class Exclusion(NamedTuple):
    """Two outcomes that exclude each other; `voided` and `reversed` are those that leave nothing of the payment.

    `second` cannot come after `first`; with `either_order` not before it either. `unless` names an outcome that makes
    the pair possible: at or before `first`, or `between` the two. `reason` is true whichever of the two came first.
    """

    first: str
    second: str
    reason: str
    either_order: bool = False
    unless: str | None = None
    between: bool = False


_ISSUER = "an issuer either authorises a payment or declines it"
_DECLINED = "what the issuer declined moves no money"
_NOTHING_HELD = "what the issuer declined holds no authorisation that could be given up"
_VOIDED = "no money moves where the whole authorisation was given up before any capture"
_GIVEN_UP = "nothing is captured after all that was left of the authorisation was given up"
_REVERSED = "nothing is captured, settled or refunded after the whole payment was taken back"
_DISPUTE = "one dispute has one end"

#: Every pair that is refused. A reversal goes with a decline: a payment that failed may have debited the payer. A void
#: after a capture gives up the rest, and one of a part gives up that part; of all else the money still moves.
EXCLUSIONS: tuple[Exclusion, ...] = (
    Exclusion("declined", "authorised", _ISSUER, either_order=True),
    *(Exclusion("declined", one, _DECLINED, either_order=True) for one in _MONEY_MOVED),
    Exclusion("declined", "voided", _NOTHING_HELD, either_order=True),
    *(
        Exclusion("voided", one, _VOIDED, either_order=one == "settled", unless="captured")
        for one in _MONEY_MOVED
        if one != "captured"
    ),
    Exclusion("voided", "captured", _GIVEN_UP),
    Exclusion("reversed", "captured", _REVERSED),
    Exclusion("reversed", "settled", _REVERSED, unless="captured"),
    Exclusion("reversed", "refunded", _REVERSED),
    Exclusion("chargeback_won", "chargeback_lost", _DISPUTE, unless="chargeback_opened", between=True),
    Exclusion("chargeback_lost", "chargeback_won", _DISPUTE, unless="chargeback_opened", between=True),
)


def is_repeated(report: KnownReport, outcomes: Sequence[KnownReport]) -> bool:
    """Whether an outcome is among these already.

    What states an amount, and a step of a dispute, happens again at another time: two equal refunds are two. All else
    happens once, and so does a decline, whatever time or reason code a retry states.
    """
    if any(report.repeats(one) for one in outcomes):
        return True
    if report.value == "declined":
        return any(one.value == "declined" for one in outcomes)
    if report.amount_minor is not None or report.value in _SEVERAL:
        return False
    return any(one.value == report.value and one.amount_minor is None for one in outcomes)


def check_outcome(
    transaction_id: str, report: KnownReport, outcomes: Sequence[KnownReport], payment: Payment | None
) -> None:
    """Refuse an outcome that contradicts these, which are in order of arrival, or its payment (None: not known yet).

    Raises: Conflict; Refused for an amount that cannot be, or a time long before the payment.
    """
    if payment is not None:
        _check_not_before(report, payment)
    payment_minor = None if payment is None else payment.amount_minor
    ordered = sorted((*outcomes, report), key=lambda one: one.reported_at_ms)  # stable: ties in order of arrival
    words = [_word(place, ordered, payment_minor) for place in range(len(ordered))]
    for one in outcomes:
        found = _exclusion(report, one, ordered, words)
        if found is not None:
            raise Conflict(
                f"`{report.value}` contradicts `{one.value}`, which is recorded of transaction `{transaction_id}`: "
                f"{found.reason}.",
                f"Find out which of {one.value} and {report.value} is right; what was recorded stays.",
                "outcome",
            )
    check_amount(report, outcomes, payment_minor)


def _check_not_before(report: KnownReport, payment: Payment) -> None:
    if report.reported_at_ms < payment.event_time_ms - MOST_BEFORE_MS:
        paid_at = moment_of(payment.event_time_ms).isoformat()
        message = f"lies more than a day before its payment ({paid_at})."
        raise Refused([Problem("before_payment", message, "event_time", "Send the time at which it really happened.")])


def _word(place: int, ordered: Sequence[KnownReport], payment_minor: int | None) -> str:
    """What the table of exclusions calls an outcome: a void or a reversal of a part excludes nothing."""
    value = ordered[place].value
    if value in ("voided", "reversed") and not ends_all(place, ordered, payment_minor):
        return f"{value} in part"
    return value


def _exclusion(
    report: KnownReport, other: KnownReport, ordered: Sequence[KnownReport], words: Sequence[str]
) -> Exclusion | None:
    a, b = _place(report, ordered), _place(other, ordered)
    first, second = words[min(a, b)], words[max(a, b)]
    if "declined" in (first, second):  # not even a part of it can be given up
        first, second = ordered[min(a, b)].value, ordered[max(a, b)].value
    for one in EXCLUSIONS:
        if (one.first, one.second) == (first, second):
            until = max(a, b) if one.between else min(a, b)
        elif one.either_order and (one.first, one.second) == (second, first):
            until = max(a, b)
        else:
            continue
        since = min(a, b) if one.between else 0
        if one.unless is None or not any(_counts_as(each, one.unless) for each in ordered[since:until]):
            return one
    return None


def _counts_as(report: KnownReport, value: str) -> bool:
    """Whether an outcome is of that kind; what settled in part was captured, whether or not that was reported."""
    return report.value == value or (
        (report.value, value) == ("settled", "captured") and report.amount_minor is not None
    )


def _place(report: KnownReport, ordered: Sequence[KnownReport]) -> int:
    return next(place for place, one in enumerate(ordered) if one is report)
