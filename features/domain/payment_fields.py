"""The fields of a payment, declared once (docs/design.md §3).

The checks, the history's columns, the OpenAPI schema, the Feast columns and the labels of the review desk are derived
from `FIELDS`. `PaymentFields` (features/domain/payment.py) has the same names with Python types, which a type checker
reads; a test compares the two.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from features.domain.currencies import CURRENCIES
from features.domain.money import LARGEST_AMOUNT_MINOR
from features.domain.payment import CHANNELS, DEFAULT_DEADLINE_MS, RAILS

LONGEST_TEXT = 128
LONGEST_DEADLINE_MS = 10_000
FIRST_YEAR, LAST_YEAR = 2000, 2200
MOST_METADATA, MOST_METADATA_BYTES = 20, 2_048
COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
MCC = re.compile(r"[0-9]{4}", re.ASCII)


class Identifier(NamedTuple):
    """1 to LONGEST_TEXT printable characters."""


class Moment(NamedTuple):
    """RFC 3339 with an offset, in the years FIRST_YEAR to LAST_YEAR - 1."""


class Whole(NamedTuple):
    """A whole number in `low` to `high`; `what` names it in a repair."""

    low: int
    high: int
    what: str


class Word(NamedTuple):
    """A word of an open vocabulary: another word than these is named in a warning with `code`, and costs nothing."""

    words: tuple[str, ...]
    code: str


class Pattern(NamedTuple):
    """A text that `pattern` matches as a whole, and the sentences for one that it does not match."""

    pattern: re.Pattern[str]
    message: str
    repair: str


class Address(NamedTuple):
    """An IPv4 or IPv6 address."""


class Degrees(NamedTuple):
    """Degrees (WGS 84) in -limit to limit."""

    limit: int


class Attributes(NamedTuple):
    """The caller's own fields, as the catalogue declares them."""


class Flag(NamedTuple):
    """True or false."""


class CardFields(NamedTuple):
    """An object with the fields of `CARD_FIELDS`."""


class Metadata(NamedTuple):
    """A flat object of at most MOST_METADATA texts, numbers and booleans, MOST_METADATA_BYTES as JSON."""


Kind = Identifier | Moment | Whole | Word | Pattern | Address | Degrees | Attributes | Flag | CardFields | Metadata


class Field(NamedTuple):
    """One field: its name, kind and label on the review desk, an example, and what the OpenAPI document says of it.

    An optional field that is absent or null is not sent; `default` stands for it. `of_history` says whether the field
    is a column of a normalised history.
    """

    name: str
    kind: Kind
    label: str
    example: str | int | float | None
    description: str = ""
    required: bool = False
    default: Any = None
    of_history: bool = True


_COUNTRY = Pattern(COUNTRY, "is no country code.", "Send two capitals (ISO 3166-1 alpha-2).")
_ISO_3166 = "ISO 3166-1 alpha-2."

FIELDS: tuple[Field, ...] = (
    Field("transaction_id", Identifier(), "Transaction", "t-81f3", required=True),
    Field(
        "event_time", Moment(), "Time", "2026-11-11T00:00:03.120Z",
        "Within five minutes of the service's clock; with an offset.", required=True,
    ),
    Field(
        "amount_minor", Whole(0, LARGEST_AMOUNT_MINOR, "minor units"), "Amount", 125000,
        "Minor units of `currency`, e.g. paise or cents.", required=True,
    ),
    Field(
        "currency", Word(tuple(CURRENCIES), "unknown_currency"), "Currency", "INR",
        "ISO 4217.", required=True,
    ),
    Field("rail", Word(RAILS, "unknown_value"), "Rail", "upi", required=True),
    Field("channel", Word(CHANNELS, "unknown_value"), "Channel", "qr_static", required=True),
    Field("payer_id", Identifier(), "Payer", "u-1042", required=True),
    Field(
        "instrument_id", Identifier(), "Instrument", "vpa-77ab", "A clear card number becomes a token.", required=True
    ),
    Field("payee_id", Identifier(), "Payee", "m-559", required=True),
    Field("device_id", Identifier(), "Device", "d-9c1"),
    Field("ip", Address(), "IP address", "203.0.113.9", "IPv4 or IPv6."),
    Field(
        "mcc", Pattern(MCC, "is no merchant category code.", "Send four digits (ISO 18245)."), "Merchant category",
        "5411", "ISO 18245.",
    ),
    Field("payer_country", _COUNTRY, "Payer country", "IN", _ISO_3166),
    Field("payee_country", _COUNTRY, "Payee country", "IN", _ISO_3166),
    Field("latitude", Degrees(90), "Latitude", 12.97),
    Field("longitude", Degrees(180), "Longitude", 77.59),
    Field(
        "attributes", Attributes(), "Attributes", None, "The caller's own fields, as the catalogue declares them.",
        default={}, of_history=False,
    ),
    Field("card", CardFields(), "Card", None, "What is known of the card beyond its token.", of_history=False),
    Field(
        "metadata", Metadata(), "Metadata", None,
        f"Up to {MOST_METADATA} texts, numbers or booleans, {MOST_METADATA_BYTES} bytes in all; kept in the receipt, "
        "never a feature.", default={}, of_history=False,
    ),
    Field(
        "late", Flag(), "Sent late", None, "Takes a payment that happened up to seven days ago.", default=False,
        of_history=False,
    ),
    Field(
        "deadline_ms", Whole(1, LONGEST_DEADLINE_MS, "milliseconds"), "Deadline", 80, default=DEFAULT_DEADLINE_MS,
        of_history=False,
    ),
)  # fmt: skip

BIN = re.compile(r"[0-9]{6,8}", re.ASCII)
ECI = re.compile(r"[0-9]{1,2}", re.ASCII)

BY_NAME = {field.name: field for field in FIELDS}
REQUIRED = tuple(field.name for field in FIELDS if field.required)
#: Optional columns of a normalised history.
OPTIONAL_OF_HISTORY = tuple(field.name for field in FIELDS if field.of_history and not field.required)
EXAMPLE = {field.name: field.example for field in FIELDS if field.example is not None}
