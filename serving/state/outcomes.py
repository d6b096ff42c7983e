"""Parses outcomes and labels of callers; an invalid one is refused with all its problems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from features.domain.payment import LABEL_SOURCES, LABELS, OUTCOMES
from features.domain.payment_fields import FIRST_YEAR, LAST_YEAR, LONGEST_TEXT
from features.errors import Problem, Refused
from features.intake.parse import milliseconds, read_json
from features.intake.validate import card_number_problems

_TIME_REPAIR = "Send RFC 3339 with an offset, e.g. 2026-11-11T00:00:03.120Z."


class OutcomeReport(msgspec.Struct, frozen=True):
    """What the issuer did with a payment; the time is milliseconds UTC."""

    transaction_id: str
    outcome: str
    event_time_ms: int


class LabelReport(msgspec.Struct, frozen=True):
    """Fraud or legitimate, the source, and the time of the report (milliseconds UTC)."""

    transaction_id: str
    label: str
    source: str
    reported_at_ms: int


def read_outcome(body: bytes) -> OutcomeReport:
    """The outcome in a request body.

    Raises: Malformed, Refused.
    """
    raw = _checked(read_json(body), {"outcome": OUTCOMES}, "event_time")
    return OutcomeReport(raw["transaction_id"], raw["outcome"], _ms(raw["event_time"]))


def read_label(body: bytes) -> LabelReport:
    """The label in a request body.

    Raises: Malformed, Refused.
    """
    raw = _checked(read_json(body), {"label": LABELS, "source": LABEL_SOURCES}, "reported_at")
    return LabelReport(raw["transaction_id"], raw["label"], raw["source"], _ms(raw["reported_at"]))


def _checked(raw: Any, words: dict[str, Sequence[str]], time_field: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise Refused([Problem("wrong_type", "A report is a JSON object.", None, "Send an object.")])
    problems = [*_problems(raw, words, time_field), *card_number_problems(raw)]
    if problems:
        raise Refused(problems)
    return raw


def _problems(raw: dict[str, Any], words: dict[str, Sequence[str]], time_field: str) -> Iterator[Problem]:
    known = ("transaction_id", *words, time_field)
    for name in known:
        if raw.get(name) is None:
            yield Problem("missing", "is required.", name, f"Send {name}.")
    if any(name not in known for name in raw):
        yield Problem("unknown_field", "An unknown field was sent.", None, f"Send {', '.join(known)} only.")
    transaction_id = raw.get("transaction_id")
    if transaction_id is not None and not (
        isinstance(transaction_id, str) and 0 < len(transaction_id) <= LONGEST_TEXT and transaction_id.isprintable()
    ):
        yield Problem(
            "invalid_text",
            f"must be a string of 1 to {LONGEST_TEXT} printable characters.",
            "transaction_id",
            "Send the id of the payment.",
        )
    for name, allowed in words.items():
        if raw.get(name) is not None and raw[name] not in allowed:
            yield Problem("invalid_value", f"is no {name}.", name, f"Use one of {', '.join(allowed)}.")
    if raw.get(time_field) is not None:
        yield from _time_problems(raw[time_field], time_field)


def _time_problems(value: Any, name: str) -> Iterator[Problem]:
    try:
        moment = msgspec.convert(value, datetime) if isinstance(value, str) else None
    except msgspec.ValidationError:
        moment = None
    if moment is None:
        yield Problem("invalid_time", "is no date and time.", name, _TIME_REPAIR)
    elif moment.tzinfo is None:
        yield Problem("naive_time", "has no UTC offset.", name, _TIME_REPAIR)
    elif not FIRST_YEAR <= moment.year < LAST_YEAR:
        yield Problem("out_of_range", f"must lie in the years {FIRST_YEAR}..{LAST_YEAR - 1}.", name, _TIME_REPAIR)


def _ms(text: str) -> int:
    return milliseconds(msgspec.convert(text, datetime))
