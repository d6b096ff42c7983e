"""The case that a decision opens at the review desk, and the money at risk in it."""

from __future__ import annotations

from functools import cache

import msgspec

from features.domain.money import reference_minor, reference_weights

#: The reference currency of cases written before they carried their own money at risk.
FORMER_REFERENCE = "INR"

_weights = cache(reference_weights)


class CaseRow(msgspec.Struct, frozen=True):
    """The row of a new case, written in the transaction of its decision.

    `at_risk_minor` is in minor units of the deployment's reference currency; None in entries of older releases.
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
    at_risk_minor: int | None = None


def risk_minor(score: float | None, amount_minor: int, currency: str, reference: str) -> int:
    """Money at risk in minor units of the reference currency.

    >>> risk_minor(0.5, 1000, "INR", "INR"), risk_minor(None, 1000, "USD", "INR")
    (500, 85000)
    """
    return at_risk_minor(score, reference_minor(amount_minor, currency, _weights(reference)))


def at_risk_minor(score: float | None, amount_minor: int) -> int:
    """Score times amount, in reference minor units; the whole amount without a score."""
    return round((1.0 if score is None else score) * amount_minor)
