"""The optional fields of a payment: what has one obvious meaning is normalised, what has none is left out and named.

Nothing here costs a decision (docs/design.md, law 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from features.catalogue.catalogue import Catalogue
from features.domain.payment_fields import (
    FIELDS,
    LONGEST_TEXT,
    Address,
    Attributes,
    CardFields,
    Degrees,
    Field,
    Flag,
    Identifier,
    Metadata,
    Pattern,
    Whole,
)
from features.intake.card_fields import card_of
from features.intake.findings import Findings
from features.intake.metadata import metadata_of
from features.intake.normalise import (
    address_word,
    category_word,
    country_word,
    id_text,
    is_country,
    number_of,
    plain_text,
    says_nothing,
)

_OPTIONAL = {field.name: field for field in FIELDS if not field.required}
_KNOWN = {field.name for field in FIELDS}
#: How a flag is written.
_TRUE, _FALSE = (True, 1, "true", "1"), (False, 0, "false", "0")


def optional_of(raw: dict[str, Any], catalogue: Catalogue, findings: Findings) -> dict[str, Any]:
    """The values of the optional fields that were sent and can be used."""
    values = {}
    for name, sent in raw.items():
        field = _OPTIONAL.get(name)
        if field is None:
            if name not in _KNOWN:
                findings.warn(
                    findings.name_of(name), "unknown_field", "The field is unknown", "it was not kept", leak=sent
                )
            continue
        if sent is None or (isinstance(sent, str) and not sent.strip()):
            continue  # null and blank are not sent
        value = _READERS[type(field.kind)](field, sent, catalogue, findings)
        if value is not None:
            values[name] = value
    return values


def _says_nothing(field: Field, text: str, findings: Findings) -> bool:
    if not says_nothing(text):
        return False
    findings.warn(field.name, "not_sent", "The value says nothing", "as good as not sent")
    return True


def _identifier(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> str | None:
    sent = id_text(value)
    if sent is not None and _says_nothing(field, plain_text(sent), findings):
        return None
    return _text(sent, field.name, findings)


def _text(sent: str | None, where: str, findings: Findings) -> str | None:
    text = "" if sent is None else plain_text(sent)
    if text and len(text) <= LONGEST_TEXT and text.isprintable():
        return findings.without_card_number(where, text)
    findings.warn(
        where,
        "invalid_value",
        f"The value is no text of 1 to {LONGEST_TEXT} printable characters",
        "it was left out",
        leak=sent,
    )
    return None


def _address(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> str | None:
    if isinstance(value, str):
        if says_nothing(value.partition(",")[0].strip().strip("[]")):
            findings.warn(field.name, "not_sent", "The value says nothing", "as good as not sent")
            return None
        if address := address_word(value):
            return address
    findings.warn(field.name, "invalid_ip", "The value is no IPv4 or IPv6 address", "it was left out", leak=value)
    return None


def _pattern(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> str | None:
    assert isinstance(field.kind, Pattern)
    if isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0 and 0 <= value < 10_000:
        value = str(int(value))
    if isinstance(value, str):
        # Namibia is `NA`: a country is looked up before it is taken for "not available".
        word = category_word(value) if field.name == "mcc" else country_word(value)
        if word is not None and (is_country(word) or (field.name == "mcc" and word != "0000")):
            return word
        if _says_nothing(field, plain_text(value), findings):
            return None
    findings.warn(
        field.name, "invalid_value", f"The value {field.kind.message.rstrip('.')}", "it was left out", leak=value
    )
    return None


def _degrees(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> float | None:
    assert isinstance(field.kind, Degrees)
    if isinstance(value, str) and number_of(value) is None and _says_nothing(field, plain_text(value), findings):
        return None
    number = number_of(value)
    if number is None:
        findings.warn(field.name, "invalid_value", "The value is no number of degrees", "it was left out", leak=value)
        return None
    if not -field.kind.limit <= number <= field.kind.limit:
        what = f"The value lies outside -{field.kind.limit}..{field.kind.limit} degrees"
        findings.warn(field.name, "out_of_range", what, "it was left out", leak=value)
        return None
    return number


def _whole(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> int | None:
    assert isinstance(field.kind, Whole)
    number = number_of(value)
    if number is None or (math.isfinite(number) and number % 1 != 0):
        findings.warn(
            field.name, "invalid_value", "The value is no whole number", f"{field.default} is used", leak=value
        )
    elif not field.kind.low <= number <= field.kind.high:
        findings.warn(
            field.name, "out_of_range",
            f"The value lies outside {field.kind.low}..{field.kind.high}", f"{field.default} is used", leak=value,
        )  # fmt: skip
    else:
        return int(number)
    return None


def _flag(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> bool | None:
    spelled = value.strip().lower() if isinstance(value, str) else value
    if isinstance(spelled, str | int) and spelled in (*_TRUE, *_FALSE):
        return spelled in _TRUE
    findings.warn(field.name, "invalid_value", "The value is neither true nor false", "it was left out", leak=value)
    return None


def _attributes(field: Field, value: Any, catalogue: Catalogue, findings: Findings) -> dict[str, float | str] | None:
    if not isinstance(value, dict):
        findings.warn(field.name, "invalid_value", "The value is no object", "it was left out", leak=value)
        return None
    declared = {one.name: one for one in catalogue.parameters.attributes}
    kept: dict[str, float | str] = {}
    for name, sent in value.items():
        where = f"{field.name}.{findings.name_of(name)}"
        attribute = declared.get(name)
        if attribute is None:
            findings.warn(
                where, "undeclared_attribute", "The catalogue does not declare it", "it was not kept", leak=sent
            )
        elif sent is not None and (not isinstance(sent, str) or sent.strip()):
            known = _category(sent, where, findings) if attribute.categories else _number(sent, where, findings)
            if known is not None:
                kept[name] = known
    return kept


def _category(sent: Any, where: str, findings: Findings) -> str | None:
    return _text(("false", "true")[sent] if isinstance(sent, bool) else id_text(sent), where, findings)


def _number(sent: Any, where: str, findings: Findings) -> float | None:
    number = float(sent) if isinstance(sent, bool) else number_of(sent)
    if number is None:
        nothing = isinstance(sent, str) and says_nothing(plain_text(sent))
        code, what = ("not_sent", "says nothing") if nothing else ("invalid_value", "is no number")
        findings.warn(where, code, f"The value {what}", "it was left out", leak=sent)
    elif not math.isfinite(number):
        findings.warn(where, "out_of_range", "The value is beyond every number we keep (1.8e308)", "it was left out")
    elif findings.number_without_card_number(where, number):
        return number
    return None


_READERS: dict[type, Callable[[Field, Any, Catalogue, Findings], Any]] = {
    Identifier: _identifier,
    Address: _address,
    Pattern: _pattern,
    Degrees: _degrees,
    Whole: _whole,
    Flag: _flag,
    Attributes: _attributes,
    CardFields: lambda _, value, __, findings: card_of(value, findings),
    Metadata: lambda _, value, __, findings: metadata_of(value, findings),
}
