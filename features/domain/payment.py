"""A payment as the caller sends it, and the vocabulary of its fields."""

from __future__ import annotations

import msgspec

#: A word's place is its code in the features: words are only ever appended, so that the codes of old models stay.
RAILS = (
    *("upi", "wallet", "card", "netbanking"),
    *("sepa", "sepa_instant", "pix", "ach", "fednow", "rtp", "imps", "neft", "bnpl", "cash", "other"),
)
CHANNELS = (
    *("online", "in_app", "qr_static", "qr_dynamic", "pos", "p2p", "collect"),
    *("contactless", "atm", "moto", "recurring", "branch", "ivr", "other"),
)
#: The word that any word outside a vocabulary counts as.
OTHER = "other"
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

#: How far back a payment that is sent as `late` may lie, ms (docs/design.md §3).
LATE_MS = 7 * 86_400_000

Attribute = float | str
Metadata = dict[str, str | float | bool]


class FieldWarning(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a decision could not use of one field, or used in another form; `token` stands for a card number."""

    field: str
    code: str
    message: str
    token: str | None = None


class ThreeDs(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a 3-D Secure authentication (EMV 3DS), and the electronic commerce indicator, two digits."""

    result: str | None = None
    eci: str | None = None


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the caller knows of a card beyond its token; features/domain/payment_fields.py has the words."""

    bin: str | None = None
    brand: str | None = None
    funding: str | None = None
    issuer_country: str | None = None
    entry_mode: str | None = None
    three_ds: ThreeDs | None = None
    avs: str | None = None
    cvv: str | None = None


class PaymentFields(msgspec.Struct, frozen=True):
    """The fields of a payment but its time, with their Python types; features/domain/payment_fields.py says the rest.

    Absent is None: it is neither zero nor false. A required id that says nothing ("unknown", all zeros) is the empty
    text: the payment then has no such entity.
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
    late: bool = False
    card: Card | None = None
    metadata: Metadata = {}


class Payment(PaymentFields, frozen=True, kw_only=True):
    """One payment before it is authorised.

    Amounts are integer minor units of `currency` (ISO 4217), times integer milliseconds UTC,
    latitude and longitude degrees (WGS 84), countries ISO 3166-1 alpha-2, `mcc` ISO 18245. `warnings` say what was
    dropped or replaced when it was read; they are no part of the stored payment.
    """

    event_time_ms: int
    warnings: tuple[FieldWarning, ...] = ()
