"""The core of a payment, checked strictly: the required fields must be present, typed, in range and not blank.

Their vocabularies are open: another currency, rail or channel is named in a warning. An id that says nothing ("null",
all zeros) is the empty text, and the payment is decided without that entity's windows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment_fields import (
    FIELDS,
    FIRST_YEAR,
    LAST_YEAR,
    LONGEST_TEXT,
    Field,
    Identifier,
    Moment,
    Whole,
    Word,
)
from features.intake.findings import Findings, kind_of
from features.intake.normalise import currency_word, plain_text, says_nothing, spelled_word

#: The word for a rail or channel that the vocabulary does not have.
OTHER = "other"
_CORE = tuple(field for field in FIELDS if field.required)
_TEXT_REPAIR = "Send one text in quotes."
TIME_REPAIR = "Send RFC 3339 with an offset, e.g. 2026-11-11T00:00:03.120Z."


def core_of(raw: dict[str, Any], catalogue: Catalogue, findings: Findings) -> dict[str, Any]:
    """The values of the required fields; what is wrong with them is in `findings`."""
    values = {}
    for field in _CORE:
        value = raw.get(field.name)
        if value is None:
            findings.refuse(field.name, "missing", "is required.", f"Send {field.name}.")
        else:
            values[field.name] = _READERS[type(field.kind)](field, value, catalogue, findings)
    return values


def _checked_text(value: Any, field: str, findings: Findings) -> str | None:
    """A text of 1 to LONGEST_TEXT printable characters with a token for a card number; None with a problem."""
    if not isinstance(value, str):
        findings.refuse(field, "wrong_type", f"must be a string, not {kind_of(value)}.", _TEXT_REPAIR)
        return None
    text = plain_text(value)
    if not text:
        findings.refuse(field, "invalid_text", "is blank.", f"Send {field}: it is required.")
        return None
    if len(text) > LONGEST_TEXT:
        message = f"has {len(text):,} characters; there may be {LONGEST_TEXT}."
        findings.refuse(field, "invalid_text", message, "Shorten the text.")
        return None
    if not text.isprintable():
        message = "holds a character that cannot be printed, such as a line end."
        findings.refuse(field, "invalid_text", message, "Remove such characters.")
        return None
    return findings.without_card_number(field, text)


def read_moment(text: str) -> datetime | tuple[str, str]:
    """The aware moment in a text, in the years that are kept; else the code and the message of what is wrong."""
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return "invalid_time", "is no date and time."
    if moment.tzinfo is None:
        return "naive_time", "has no UTC offset."
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        return "out_of_range", f"must lie in the years {FIRST_YEAR}..{LAST_YEAR - 1}."
    return moment


def _identifier(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> str | None:
    text = _checked_text(value, field.name, findings)
    # A transaction is no entity: its id only has to be the same again in a retry.
    if text is not None and field.name != "transaction_id" and says_nothing(text):
        findings.warn(field.name, "not_sent", "The value says nothing", f"decided without this {field.label.lower()}")
        return ""
    return text


def _moment(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> datetime | None:
    if not isinstance(value, str):
        findings.refuse(field.name, "wrong_type", f"must be a string, not {kind_of(value)}.", TIME_REPAIR)
        return None
    found = read_moment(value.strip())
    if isinstance(found, datetime):
        return found
    findings.refuse(field.name, *found, TIME_REPAIR)
    return None


def _whole(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> int | None:
    kind = field.kind
    assert isinstance(kind, Whole)
    repair = f"Send {kind.what} as an integer."
    # JSON Schema's integer: 125000.0 is one. Compared first: a whole number of 311 digits has no float.
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and value % 1 != 0):
        what = "a fraction" if isinstance(value, float) else kind_of(value)
        findings.refuse(field.name, "wrong_type", f"must be a whole number, not {what}.", repair)
        return None
    if not kind.low <= value <= kind.high:
        message = f"must lie in {kind.low}..{kind.high}."
        findings.refuse(field.name, "out_of_range", message, f"Send {kind.what} within these bounds.")
        return None
    return int(value)


def _word(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> str | None:
    text = _checked_text(value, field.name, findings)
    if text is None:
        return None
    if field.name == "currency":
        word = currency_word(text)
        if word not in catalogue.weights:
            what = "The currency has no weight here"
            findings.warn("currency", "unknown_currency", what, "decided without the amount")
        return word
    words = catalogue.words_of(field.name)
    word = text.lower()
    if word not in words:  # a deployment's own word may have a hyphen
        word = spelled_word(text)
    if word in words:
        return word
    what = f"The {field.name} is none of {', '.join(sorted(words))}"
    findings.warn(field.name, "unknown_value", what, f"it counts as `{OTHER}`")
    return OTHER


_READERS: dict[type, Callable[[Field, Any, Catalogue, Findings], Any]] = {
    Identifier: _identifier,
    Moment: _moment,
    Whole: _whole,
    Word: _word,
}
assert all(type(field.kind) in _READERS for field in _CORE)
