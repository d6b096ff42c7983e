"""Every reason why a decoded object is not a valid payment, each with its place and its repair."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment_fields import (
    BY_NAME,
    FIRST_YEAR,
    LAST_YEAR,
    LONGEST_TEXT,
    REQUIRED,
    Address,
    Degrees,
    Identifier,
    Kind,
    Moment,
    Pattern,
    Whole,
    Word,
)
from features.errors import Problem
from features.intake.card_numbers import holds_card_number, is_card_number

#: Limits of a caller's own fields and of the problems in one reply: a reply must not be many times the request.
MOST_ATTRIBUTES = 64
MOST_PROBLEMS = 40

Finding = tuple[str, str, str]  # code, message, repair


def _text(value: Any) -> Finding | None:
    if not isinstance(value, str):
        return "wrong_type", f"must be a string, not {_kind(value)}.", "Send it in quotes."
    if not value or len(value) > LONGEST_TEXT or not value.isprintable():
        return "invalid_text", f"must be 1 to {LONGEST_TEXT} printable characters.", "Shorten or clean the text."
    return None


def _word(kind: Word, value: Any) -> Finding | None:
    if not isinstance(value, str):
        return "wrong_type", f"must be a string, not {_kind(value)}.", "Send it in quotes."
    if value not in kind.words:
        return kind.code, f"is not {kind.what}.", f"Use one of {', '.join(kind.words)}."
    return None


def _whole(kind: Whole, value: Any) -> Finding | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return "wrong_type", f"must be a whole number, not {_kind(value)}.", f"Send {kind.what} as an integer."
    if not kind.low <= value <= kind.high:
        return "out_of_range", f"must lie in {kind.low}..{kind.high}.", f"Send {kind.what} within these bounds."
    return None


def _degrees(kind: Degrees, value: Any) -> Finding | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "wrong_type", f"must be a number, not {_kind(value)}.", "Send degrees (WGS 84)."
    # Compared first: a whole number beyond the largest float (1.8e308) has no finite test. NaN fails it too.
    if not -kind.limit <= value <= kind.limit:
        message = f"must lie in -{kind.limit}..{kind.limit} degrees."
        return "out_of_range", message, "Send degrees (WGS 84), or leave it out."
    return None


def _matching(kind: Pattern, value: Any) -> Finding | None:
    if not isinstance(value, str):
        return "wrong_type", f"must be a string, not {_kind(value)}.", kind.repair
    return None if kind.pattern.fullmatch(value) else ("invalid_value", kind.message, kind.repair)


def _address(value: Any) -> Finding | None:
    try:
        # The library takes any text as the zone of an IPv6 address.
        if isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable():
            ipaddress.ip_address(value)
            return None
    except ValueError:
        pass
    return "invalid_ip", "is no IPv4 or IPv6 address.", "Send the address alone, or leave it out."


def _moment(value: Any) -> Finding | None:
    repair = "Send RFC 3339 with an offset, e.g. 2026-11-11T00:00:03.120Z."
    if not isinstance(value, str):
        return "wrong_type", f"must be a string, not {_kind(value)}.", repair
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return "invalid_time", "is no date and time.", repair
    if moment.tzinfo is None:
        return "naive_time", "has no UTC offset.", repair
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        return "out_of_range", f"must lie in the years {FIRST_YEAR}..{LAST_YEAR - 1}.", repair
    return None


def _finding(kind: Kind, value: Any) -> Finding | None:
    """What is wrong with one value; `attributes` have a check of their own."""
    match kind:
        case Identifier():
            return _text(value)
        case Moment():
            return _moment(value)
        case Whole():
            return _whole(kind, value)
        case Word():
            return _word(kind, value)
        case Pattern():
            return _matching(kind, value)
        case Address():
            return _address(value)
        case Degrees():
            return _degrees(kind, value)
        case _:
            return None


def problems_of(raw: Any, catalogue: Catalogue) -> list[Problem]:
    """All that is wrong with a decoded payment; empty if it is valid."""
    if not isinstance(raw, dict):
        return [Problem("wrong_type", f"A payment is a JSON object, not {_kind(raw)}.", None, "Send an object.")]
    problems = list(islice(_problems(raw, catalogue), MOST_PROBLEMS + 1))
    if len(problems) > MOST_PROBLEMS:
        problems[-1] = Problem(
            "too_many_problems", "There are more problems than are listed here.", None, "Repair these first."
        )
    return problems


def _problems(raw: dict[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    for name in REQUIRED:
        if raw.get(name) is None:
            yield Problem("missing", "is required.", name, f"Send {name}.")
    for name, value in raw.items():
        if name == "attributes":
            yield from _attribute_problems(value, catalogue)
            continue
        field = BY_NAME.get(name)
        if field is None:
            # the name itself may hold what must not be repeated: it is not echoed
            yield Problem("unknown_field", "An unknown field was sent.", None,
                          "Send own fields inside `attributes`, and declare them in the catalogue.")  # fmt: skip
        elif value is not None:
            finding = _finding(field.kind, value)
            if finding:
                yield Problem(finding[0], finding[1], name, finding[2])
    yield from card_number_problems(raw)


def problems_of_attributes(value: Any, catalogue: Catalogue) -> list[Problem]:
    """All that is wrong with the caller's own fields."""
    return list(_attribute_problems(value, catalogue))


def _attribute_problems(value: Any, catalogue: Catalogue) -> Iterator[Problem]:
    declared = {a.name: a for a in catalogue.parameters.attributes}
    if not isinstance(value, dict):
        yield Problem("wrong_type", f"must be an object, not {_kind(value)}.", "attributes", "Send an object.")
        return
    if len(value) > max(MOST_ATTRIBUTES, len(declared)):
        yield Problem("too_many_attributes", f"are more than {MOST_ATTRIBUTES}.", "attributes", "Send fewer.")
        return
    for name, item in value.items():
        attribute = declared.get(name)
        where = f"attributes.{name}" if attribute else "attributes"
        if attribute is None:
            known = ", ".join(declared) or "none"
            yield Problem("undeclared_attribute", "An attribute was sent that the catalogue does not declare.", where,
                          f"Declare it in the catalogue, or leave it out (declared: {known}).")  # fmt: skip
        elif attribute.categories and not (isinstance(item, str) and _text(item) is None):
            yield Problem("wrong_type", f"must be a string of 1 to {LONGEST_TEXT} printable characters.", where,
                          f"Send one of {', '.join(attribute.categories)}.")  # fmt: skip
        elif not attribute.categories and not _is_number(item):
            if _kind(item) == "a number":
                yield Problem("out_of_range", "is beyond every number we keep (1.8e308).", where, "Send a smaller one.")
            else:
                yield Problem("wrong_type", f"must be a finite number, not {_kind(item)}.", where, "Send a number.")


def card_number_problems(raw: Any, where: str | None = None) -> Iterator[Problem]:
    """One problem for each value, at any depth, that carries a clear card number; the number is not repeated."""
    if isinstance(raw, str | int | float):
        if holds_card_number(raw) if isinstance(raw, str) else is_card_number(raw):
            yield Problem("clear_card_number", "carries what looks like a clear card number.", where,
                          "Send a token instead; nothing of this request was kept.")  # fmt: skip
    elif isinstance(raw, dict):
        for key, value in raw.items():
            named = where or (key if key in BY_NAME else None)
            yield from card_number_problems(key, named if not holds_card_number(key) else where)
            yield from card_number_problems(value, named)
    elif isinstance(raw, list):
        for value in raw:
            yield from card_number_problems(value, where)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float: JSON allows 311 digits
        return False


def _kind(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")
