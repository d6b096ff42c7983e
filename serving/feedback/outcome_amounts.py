"""Amounts of outcomes: what can still be refunded, what a void or a reversal leaves, and which amounts cannot be.

A capture may exceed what was authorised: tips, incremental authorisations, a fuel pump's status check. So a bound
refuses only what no processor clears; an amount below it is taken, however odd.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.errors import Problem, Refused
from serving.feedback.reports import KnownReport

#: Captures, settlements, disputes and one authorisation are at most so many times what was authorised before.
MOST_TIMES = 2
#: A fuel pump authorises up to this much, and captures up to that much afterwards; minor units.
STATUS_CHECK_MINOR, MOST_AFTER_STATUS_CHECK_MINOR = 100, 50_000


def check_amount(report: KnownReport, outcomes: Sequence[KnownReport], payment_minor: int | None) -> None:
    """Refuse an amount that cannot be, given the outcomes before it; `payment_minor` is None while it is not known.

    Raises: Refused.
    """
    if report.value == "captured" and payment_minor is not None and not _any(outcomes, "captured"):
        _check_covers_refunds(report, outcomes, payment_minor)
    amount = report.amount_minor
    if amount is None:
        return
    if report.value == "refunded":
        left = refundable_minor(outcomes, payment_minor)
        if left is not None and amount > left:
            message = f"is more than the {left} minor units that were captured and not yet refunded."
            raise _refused(
                "exceeds_captured", message, "Send what was really refunded, and report every capture first."
            )
    elif payment_minor is not None:
        _check_bound(report.value, amount, outcomes, payment_minor)


def _check_bound(value: str, amount: int, outcomes: Sequence[KnownReport], payment_minor: int) -> None:
    whole, captured = _whole(outcomes, payment_minor), stated_minor(outcomes, "captured")
    if value in ("voided", "reversed"):
        most, before = max(whole, captured, stated_minor(outcomes, "settled")), stated_minor(outcomes, value)
        repair = f"Send what was really {value}, or leave the amount out for all that is left."
        reason = f"the {most} minor units that the payment ever held"
    else:
        few = whole <= STATUS_CHECK_MINOR
        most = MOST_AFTER_STATUS_CHECK_MINOR if few else MOST_TIMES * whole
        before = stated_minor(outcomes, value) if value in ("captured", "settled") else 0
        most = max(most, captured) if value != "captured" else most
        repair = "Send minor units of the payment's currency, and report an increased authorisation first."
        reason = f"the {most} minor units that are plausible after an authorisation of {whole}"
    if before + amount > most:
        with_before = f"together with the {before} reported before " if before else ""
        raise _refused("exceeds_authorised", f"is {with_before}more than {reason}.", repair)


def _check_covers_refunds(report: KnownReport, outcomes: Sequence[KnownReport], payment_minor: int) -> None:
    """The first capture says that the payment was not captured as a whole: what was refunded must fit into it."""
    captured = _rest(outcomes, payment_minor) if report.amount_minor is None else report.amount_minor
    refunded = stated_minor(outcomes, "refunded")
    if refunded > captured:
        message = f"is less than the {refunded} minor units that were refunded: never more is refunded than captured."
        raise _refused("exceeds_captured", message, "Report captures before their refunds, or all of them as one.")


def stated_minor(outcomes: Sequence[KnownReport], value: str) -> int:
    """The sum of the amounts that outcomes of one kind state, minor units."""
    return sum(one.amount_minor for one in outcomes if one.value == value and one.amount_minor is not None)


def ends_all(place: int, ordered: Sequence[KnownReport], payment_minor: int | None) -> bool:
    """Whether the void or reversal at that place, by event time, leaves nothing of the payment.

    Without an amount it is all that is left.
    """
    one, until = ordered[place], ordered[: place + 1]
    if one.amount_minor is None:
        return True
    authorised = stated_minor(ordered, "authorised") if _any_stated(ordered, "authorised") else payment_minor
    if authorised is None:
        return False
    moved = max(stated_minor(until, "captured"), stated_minor(until, "settled"))
    if one.value == "voided":
        return stated_minor(until, "voided") + moved >= authorised
    return stated_minor(until, one.value) >= max(authorised, moved)


def refundable_minor(outcomes: Sequence[KnownReport], payment_minor: int | None) -> int | None:
    """What was captured and not yet refunded, minor units; None while that cannot be known.

    Without any report of a capture the whole payment counts as captured, but for what was voided: many callers report
    refunds only. A capture without an amount is the rest of the payment, a refund without one the rest of what was
    captured. A capture may be larger than the payment (tips, incremental authorisations).

    >>> capture = KnownReport("outcome", "captured", None, 0)
    >>> refundable_minor([capture, KnownReport("outcome", "refunded", None, 1, 400)], 1_000)
    600
    """
    rest = None if payment_minor is None else _rest(outcomes, payment_minor)
    limit: int | None
    if not _any(outcomes, "captured"):
        limit = None if rest is None else max(rest, stated_minor(outcomes, "settled"))
    else:
        limit = stated_minor(outcomes, "captured")
        if any(one.value == "captured" and one.amount_minor is None for one in outcomes):
            limit = None if rest is None else max(limit, rest)
    if limit is None:
        return None
    if any(one.value == "refunded" and one.amount_minor is None for one in outcomes):
        return 0
    return max(0, limit - stated_minor(outcomes, "refunded"))


def _whole(outcomes: Sequence[KnownReport], payment_minor: int) -> int:
    return max(payment_minor, stated_minor(outcomes, "authorised"))


def _rest(outcomes: Sequence[KnownReport], payment_minor: int) -> int:
    return max(0, _whole(outcomes, payment_minor) - stated_minor(outcomes, "voided"))


def _any(outcomes: Sequence[KnownReport], value: str) -> bool:
    return any(one.value == value for one in outcomes)


def _any_stated(outcomes: Sequence[KnownReport], value: str) -> bool:
    return any(one.value == value and one.amount_minor is not None for one in outcomes)


def _refused(code: str, message: str, repair: str) -> Refused:
    return Refused([Problem(code, message, "amount_minor", repair)])
