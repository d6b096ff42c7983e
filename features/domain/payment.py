"""A payment as the caller sends it, and the vocabulary of its fields."""

from __future__ import annotations

import msgspec

RAILS = ("upi", "wallet", "card", "netbanking")
CHANNELS = ("online", "in_app", "qr_static", "qr_dynamic", "pos", "p2p", "collect")
OUTCOMES = (
    *("authorised", "declined", "captured", "voided", "refunded", "settled", "reversed"),
    *("chargeback_opened", "chargeback_won", "chargeback_lost"),
)
LABELS = ("fraud", "legitimate")
#: Withdraws the label of its source.
RETRACTED = "retracted"
#: The source of verdicts of the review desk, which nobody else reports.
REVIEW = "review"
#: Sources of labels in the order in which a policy ranks them unless it says otherwise.
LABEL_SOURCES = ("chargeback", "network_alert", REVIEW, "customer_report")
REPORTING_SOURCES = tuple(source for source in LABEL_SOURCES if source != REVIEW)

#: The kinds of entity of a payment that have window state.
ENTITIES = ("payer", "instrument", "device", "ip", "payee", "pair")

DEFAULT_DEADLINE_MS = 80

Attribute = float | str


class PaymentFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a payment but its time, with their Python types; features/domain/payment_fields.py says the rest.

    Absent is None: it is neither zero nor false.
    """

    transaction_id: str
    amount_minor: int
    currency: str
    rail: str
    channel: str
    payer_id: str
    instrument_id: str
    payee_id: str
    device_id: str | None = None
    ip: str | None = None
    mcc: str | None = None
    payer_country: str | None = None
    payee_country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    attributes: dict[str, Attribute] = {}
    deadline_ms: int = DEFAULT_DEADLINE_MS


class Payment(PaymentFields, frozen=True, kw_only=True):
    """One payment before it is authorised.

    Amounts are integer minor units of `currency` (ISO 4217), times integer milliseconds UTC,
    latitude and longitude degrees (WGS 84), countries ISO 3166-1 alpha-2, `mcc` ISO 18245.
    """

    event_time_ms: int
