"""Parses outcomes and labels of callers; an invalid one is refused with all its problems."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from features.domain.money import LARGEST_AMOUNT_MINOR
from features.domain.payment import LABELS, OUTCOMES, REPORTING_SOURCES, RETRACTED, Payment
from features.domain.payment_fields import LONGEST_TEXT
from features.errors import Problem, Refused
from features.intake.card_numbers import is_card_number
from features.intake.findings import Findings
from features.intake.normalise import plain_text
from features.intake.parse import milliseconds, read_json
from features.intake.tokens import Tokens
from features.intake.validate import TIME_REPAIR, read_moment
from serving.feedback.reports import LabelReport, OutcomeReport

#: How far ahead of the service's clock a report may lie, ms (docs/design.md §3).
MOST_AHEAD_MS = 5 * 60 * 1000
REPORTED_LABELS = (*LABELS, RETRACTED)
LONGEST_REASON_CODE = 64
#: How problems and warnings name a field of the payment that a label brings.
PAYMENT_PREFIX = "payment."

_OUTCOME_WORDS = {"outcome": OUTCOMES}
_LABEL_WORDS = {"label": REPORTED_LABELS, "source": REPORTING_SOURCES}

#: Reads the payment that a label brings along.
#: Raises Refused.
ReadPayment = Callable[[Any], Payment]


def transaction_id_of(text: str, tokens: Tokens) -> str:
    """A transaction id as it is kept: without blanks around it, in Unicode's composed form, with tokens.

    Every id that names a payment, in a body or a path, passes through here.
    """
    return tokens.replace(plain_text(text))[0]


def read_outcome(body: bytes, tokens: Tokens) -> OutcomeReport:
    """The outcome in a request body.

    Raises: Malformed, Refused.
    """
    findings = Findings(tokens)
    raw = _checked(read_json(body), findings, _OUTCOME_WORDS, "event_time", ("amount_minor", "reason_code"))
    return OutcomeReport(
        raw["transaction_id"], raw["outcome"], _ms(raw["event_time"]), raw.get("amount_minor"),
        raw.get("reason_code"), tuple(findings.warnings),
    )  # fmt: skip


def read_label(body: bytes, tokens: Tokens, read_payment: ReadPayment) -> LabelReport:
    """The label in a request body, with its payment if it brings one.

    Raises: Malformed, Refused.
    """
    findings = Findings(tokens)
    raw = _checked(read_json(body), findings, _LABEL_WORDS, "reported_at", ("payment",))
    payment = None if raw.get("payment") is None else _payment_of(raw, read_payment)
    warnings = findings.warnings
    if payment is not None:
        inside = [replace(one, field=f"{PAYMENT_PREFIX}{one.field}") for one in payment.warnings]
        warnings = [*warnings, *inside]
    return LabelReport(
        raw["transaction_id"], raw["label"], raw["source"], _ms(raw["reported_at"]), payment, tuple(warnings)
    )


def check_not_ahead(name: str, at_ms: int, now_ms: int) -> None:
    """Refuse a report that lies in the future; both ms UTC, `name` is the field of the time.

    `now_ms` is the clock of the service. A replay of past payments has gaps between them, in which reports fall: on the
    replay clock only what also lies ahead of the wall clock is refused.
    Raises: Refused.
    """
    if at_ms > max(now_ms, time.time_ns() // 1_000_000) + MOST_AHEAD_MS:
        minutes = MOST_AHEAD_MS // 60_000
        message = f"lies more than {minutes} minutes in the future of the service's clock."
        raise Refused([Problem("in_the_future", message, name, "Send the time at which it really happened.")])


def _payment_of(raw: dict[str, Any], read_payment: ReadPayment) -> Payment:
    given = raw["payment"]
    try:
        payment = read_payment(given)
    except Refused as error:
        raise Refused([_inside_payment(one) for one in error.problems]) from None
    if payment.transaction_id != raw["transaction_id"]:
        problem = Problem(
            "other_transaction", "is another payment than the label is about.", "payment.transaction_id",
            "Send the payment of the label's transaction_id.",
        )  # fmt: skip
        raise Refused([problem])
    return payment


def _inside_payment(problem: Problem) -> Problem:
    return replace(problem, field="payment" if problem.field is None else f"{PAYMENT_PREFIX}{problem.field}")


def _checked(
    raw: Any, findings: Findings, words: Mapping[str, Sequence[str]], time_field: str, optional: Sequence[str] = ()
) -> dict[str, Any]:
    """The fields of a report as they are kept: without card numbers, and words in the spelling of the contract."""
    if not isinstance(raw, dict):
        raise Refused([Problem("wrong_type", "A report is a JSON object.", None, "Send an object.")])
    sent: dict[str, Any] = {
        name: value for name, value in raw.items() if value is not None and not (name in optional and value == "")
    }
    for name in ("transaction_id", *words):
        if isinstance(sent.get(name), str):
            sent[name] = plain_text(sent[name]) if name == "transaction_id" else plain_text(sent[name]).lower()
    findings.problems.extend(_problems(sent, words, time_field, optional))
    _name_unknown(sent, findings, ("transaction_id", *words, time_field, *optional))
    findings.raise_problems(strict=False)
    for name in ("transaction_id", "reason_code"):
        if name in sent:
            sent[name] = findings.without_card_number(name, sent[name])
    return sent


def _name_unknown(sent: dict[str, Any], findings: Findings, known: Sequence[str]) -> None:
    """Refuse each unknown field by its name: what it says may change the meaning (a currency, a sign)."""
    for name in sent:
        if name not in known:
            findings.refuse(
                findings.name_of(name), "unknown_field", "is no field of this report.", f"Send {', '.join(known)} only."
            )


def _problems(
    raw: dict[str, Any], words: Mapping[str, Sequence[str]], time_field: str, optional: Sequence[str]
) -> Iterator[Problem]:
    for name in ("transaction_id", *words, time_field):
        if raw.get(name) is None:
            yield Problem("missing", "is required.", name, f"Send {name}.")
    if raw.get("transaction_id") is not None and not _is_text(raw["transaction_id"], LONGEST_TEXT):
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
    if "amount_minor" in optional and raw.get("amount_minor") is not None:
        yield from _amount_problems(raw["amount_minor"])
    code = raw.get("reason_code") if "reason_code" in optional else None
    if code is not None and not _is_text(code, LONGEST_REASON_CODE):
        yield Problem(
            "invalid_text", f"must be a string of 1 to {LONGEST_REASON_CODE} printable characters.", "reason_code",
            "Send the code of the network or issuer, e.g. 10.4.",
        )  # fmt: skip


def _amount_problems(amount: Any) -> Iterator[Problem]:
    if not (type(amount) is int and 0 <= amount <= LARGEST_AMOUNT_MINOR):
        yield Problem(
            "out_of_range", f"must be a whole number in 0..{LARGEST_AMOUNT_MINOR}.", "amount_minor",
            "Send minor units of the payment's currency, or leave it out for all that is left.",
        )  # fmt: skip
    elif is_card_number(amount):
        yield Problem(
            "clear_card_number", "carries what looks like a clear card number.", "amount_minor",
            "Send the amount; nothing of this report was kept.",
        )  # fmt: skip


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _time_problems(value: Any, name: str) -> Iterator[Problem]:
    found = read_moment(value if isinstance(value, str) else "")
    if not isinstance(found, datetime):
        yield Problem(*found, name, TIME_REPAIR)


def _ms(text: str) -> int:
    return milliseconds(msgspec.convert(text, datetime))
