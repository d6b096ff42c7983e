"""Whether an event can be folded: the one answer that every writer asks before it appends, and every fold obeys.

`step_of` decodes an event as the fold does and says what it changes. It changes nothing itself. Where it raises,
a writer appends nothing, and a fold leaves the event out: so the live state, a restart, `rebuild-state` and
`verify` agree about the same ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import numpy as np

from features.catalogue.aggregate import FILTERS
from features.catalogue.catalogue import Catalogue
from features.domain.money import LARGEST_AMOUNT_MINOR
from features.domain.payment import LABELS, OUTCOMES, Payment
from features.domain.payment_fields import FIRST_YEAR, LAST_YEAR
from features.errors import RiskgateError
from features.intake.parse import stored_payment
from features.state.columns import check_profile, encode_extra, extra_words, reference_amount
from features.state.profiles import PROFILE_KINDS, ProfileRow, decode_profile
from serving.decision import receipt as receipts
from serving.errors import ServiceError
from serving.ledger.event_bodies import (
    Effect,
    HistoryEvent,
    Report,
    decode_hashing,
    decode_history,
    decode_profile_event,
    decode_promotion,
    decode_report,
    decode_verdict,
)
from serving.ledger.reader import Event

#: What damaged, foreign or odd content raises while it is decoded and encoded. Errors of the machine (memory, disk)
#: are not among them: they say nothing about the event.
UNFOLDABLE = (
    ValueError, TypeError, LookupError, ArithmeticError, RecursionError, msgspec.MsgspecError, RiskgateError,
)  # fmt: skip

_MS_PER_YEAR = 31_556_952_000
#: What every release accepted as the time of a payment, ms UTC, rounded outwards to whole years.
_EARLIEST_MS, _LATEST_MS = (FIRST_YEAR - 1971) * _MS_PER_YEAR, (LAST_YEAR - 1969) * _MS_PER_YEAR
#: What a moment of Python can hold, ms UTC: `export-history` writes reports as moments.
_FIRST_MOMENT_MS, _LAST_MOMENT_MS = -62_135_596_800_000, 253_402_300_799_999
_LARGEST_INTEGER = 2**63 - 1
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class CannotFold(ServiceError):
    """An event that cannot become part of the state; `reason` repeats no value of it."""

    code = "cannot_fold"
    status = 422

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(
            f"Nothing was recorded: the event could not become part of the state, because {reason}.",
            "If its payment was imported, repair that row and import the history into a new ledger.",
            field,
        )
        self.reason = reason


class Paid(msgspec.Struct, frozen=True, gc=False):
    """A payment; `enters` says whether it becomes part of the state, `body` is None for one never decided."""

    payment: Payment
    body: receipts.Body | None
    enters: bool


class Reported(msgspec.Struct, frozen=True):
    """What became known about a payment."""

    report: Report
    payment: Payment

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What the report changes in the state."""
        return self.report.effects


class Profiled(msgspec.Struct, frozen=True):
    """One version of a profile, and its place in the profile file."""

    entity: str
    entity_id: str
    row: ProfileRow
    file_row: int


class Imported(msgspec.Struct, frozen=True):
    """A history kept beside the ledger."""

    body: HistoryEvent


class Noted(msgspec.Struct, frozen=True):
    """An event that is part of the record and changes no state."""


Step = Paid | Reported | Profiled | Imported | Noted


def step_of(event: Event, catalogue: Catalogue) -> Step:
    """What an event changes in the state; changes nothing itself.

    What of a payment only the encoder can refuse (`State` raises before it changes anything) is left to the fold:
    encoding every payment twice would make a start a third slower.
    Raises: CannotFold.
    """
    try:
        _check_columns(event)
        return _STEPS[event.kind](event, catalogue)
    except CannotFold:
        raise
    except UNFOLDABLE as error:
        raise CannotFold(reason_of(error)) from error


def whole_step_of(event: Event, catalogue: Catalogue) -> Step:
    """As `step_of`, and what only the encoder can refuse is refused too: for who folds nothing, or compares.

    Raises: CannotFold.
    """
    step = step_of(event, catalogue)
    if isinstance(step, Paid) and step.enters:
        try:
            encode_extra(step.payment, catalogue, np.empty(extra_words(catalogue)))
            reference_amount(step.payment, catalogue)
        except UNFOLDABLE as error:
            raise CannotFold(reason_of(error)) from error
    return step


def reason_of(error: BaseException) -> str:
    """Why something cannot be folded, as the end of a sentence, without any value of it."""
    if isinstance(error, msgspec.ValidationError):
        return _without_values(str(error))
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return "its body is no JSON"
    if isinstance(error, RecursionError):
        return "its body is nested too deeply"
    if isinstance(error, OverflowError):
        return "a number in it is too large"
    if isinstance(error, KeyError | IndexError):
        return "it holds a word that this release does not know (currency, rail, channel, country or effect)"
    return f"a value in it is of the wrong kind ({type(error).__name__})"


def _without_values(text: str) -> str:
    """What msgspec says of a shape: names of types and places stay, values and foreign names do not."""
    said, _, place = text.partition(" - at `")
    said = re.sub(r"unknown field `.*`", "an unknown field", said, flags=re.DOTALL)
    said = re.sub(r"[Ii]nvalid (\w+ )?value '?.*", "an invalid value", said, flags=re.DOTALL)
    where = place.rstrip("`")
    return f"{said[:1].lower()}{said[1:]}" + (f" at {where}" if re.fullmatch(r"\$[\w.\[\]]*", where) else "")


def _check_columns(event: Event) -> None:
    """A hand that writes into SQLite may put any type into any column."""
    if event.kind not in _STEPS:
        raise CannotFold("this release knows no events of that kind")
    if not isinstance(event.transaction_id, str) or not isinstance(event.body, bytes):
        raise CannotFold("a column of it is of the wrong type")
    for moment in (event.event_time_ms, event.arrival_time_ms):
        if not isinstance(moment, int) or abs(moment) > _LARGEST_INTEGER:
            raise CannotFold("its time is no number of milliseconds")


def _paid(event: Event, catalogue: Catalogue) -> Paid:
    body = receipts.decided(event.body)
    payment = stored_payment(receipts.payment_in(event.body) if body is None else body.payment)
    if not 0 <= payment.amount_minor <= LARGEST_AMOUNT_MINOR:
        raise CannotFold("its amount is out of range")
    if not _EARLIEST_MS <= payment.event_time_ms <= _LATEST_MS:
        raise CannotFold("its event time is out of range")
    # Never decided, yet admitted: that is when a payment enters the state.
    return Paid(payment, body, body is None or body.receipt.folded)


def _reported(event: Event, catalogue: Catalogue) -> Reported:
    report = decode_report(event.body)
    payment = stored_payment(report.payment)
    if report.value not in (LABELS if event.kind == "label" else OUTCOMES):
        raise CannotFold(f"it says something else than {event.kind}s can say")
    if not _FIRST_MOMENT_MS <= report.reported_at_ms <= _LAST_MOMENT_MS:
        raise CannotFold("the time of the report is out of range")
    for effect in report.effects:
        known = FILTERS.get(effect.what)
        if known is None or not known.known_later or effect.weight not in (-1, 1):
            raise CannotFold("it names an effect that this release does not know")
        if payment.currency not in catalogue.weights:
            raise CannotFold("the currency of its payment is none that this release knows")
        if abs(reference_amount(payment, catalogue)) > _LARGEST_INTEGER:
            raise CannotFold("the amount of its payment is too large")
    return Reported(report, payment)


def _profiled(event: Event, catalogue: Catalogue) -> Profiled:
    body = decode_profile_event(event.body)
    row = decode_profile(bytes(body.row))
    if type(row) is not PROFILE_KINDS.get(body.entity):
        raise CannotFold("the profile is not one of the entity that is named")
    check_profile(row)
    if abs(body.file_row) > _LARGEST_INTEGER:
        raise CannotFold("the number of its row is out of range")
    return Profiled(body.entity, body.entity_id, row, body.file_row)


def _imported(event: Event, catalogue: Catalogue) -> Imported:
    body = decode_history(event.body)
    if _DIGEST.fullmatch(body.sha256) is None:
        raise CannotFold("it names no digest of a history")
    if any(abs(number) > _LARGEST_INTEGER for number in (body.rows, body.first_ms, body.last_ms, body.until_ms)):
        raise CannotFold("a number in it is too large")
    return Imported(body)


def _noted(decode: Callable[[bytes], object]) -> Callable[[Event, Catalogue], Noted]:
    def note(event: Event, catalogue: Catalogue) -> Noted:
        decode(event.body)
        return Noted()

    return note


_STEPS: dict[str, Callable[[Event, Catalogue], Step]] = {
    "payment": _paid,
    "outcome": _reported,
    "label": _reported,
    "profile": _profiled,
    "history": _imported,
    "promotion": _noted(decode_promotion),
    "hashing": _noted(decode_hashing),
    "verdict": _noted(decode_verdict),
    "policy": _noted(msgspec.json.decode),
}
