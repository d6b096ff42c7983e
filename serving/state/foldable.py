"""Decides whether an event can be folded: every writer checks before it appends, and every fold applies the same check.

`step_of` decodes an event and returns the step that folds it, without changing anything. If it raises, a writer appends
nothing and a fold leaves the event out. So the live state, a restart, `rebuild-state` and `verify` agree on the same
ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import numpy as np

from features.catalogue.aggregate import FILTERS
from features.catalogue.catalogue import Catalogue
from features.domain.money import LARGEST_AMOUNT_MINOR
from features.domain.payment import LABELS, OUTCOMES, RETRACTED, Payment
from features.domain.payment_fields import FIRST_YEAR, LAST_YEAR
from features.errors import RiskgateError
from features.intake.parse import stored_payment
from features.state.columns import check_profile, encode_extra, extra_words, reference_amount
from features.state.profiles import PROFILE_KINDS, ProfileRow, decode_profile
from serving.decision import receipt as receipts
from serving.errors import ServiceError
from serving.ledger.event_bodies import (
    HistoryEvent,
    ReportEvent,
    WaitingEvent,
    decode_hashing,
    decode_history,
    decode_profile_event,
    decode_promotion,
    decode_report,
    decode_verdict,
    decode_waiting,
)
from serving.ledger.incidents import INCIDENT, decode_incident
from serving.ledger.reader import Event
from serving.lists.entry import LIST, decode_change

#: Raised by damaged or foreign content while it is decoded and encoded. Errors of the machine (memory, disk) are not
#: among them: they say nothing about the event.
UNFOLDABLE = (
    ValueError, TypeError, LookupError, ArithmeticError, RecursionError, msgspec.MsgspecError, RiskgateError,
)  # fmt: skip

_MS_PER_YEAR = 31_556_952_000
#: The range of payment times that every release accepted, ms UTC, rounded outwards to whole years.
_EARLIEST_MS, _LATEST_MS = (FIRST_YEAR - 1971) * _MS_PER_YEAR, (LAST_YEAR - 1969) * _MS_PER_YEAR
#: The range of Python's datetime, ms UTC: `export-history` writes the times of reports as datetimes.
_FIRST_MOMENT_MS, _LAST_MOMENT_MS = -62_135_596_800_000, 253_402_300_799_999
_LARGEST_INTEGER = 2**63 - 1
_WORDS = {"label": (*LABELS, RETRACTED), "outcome": OUTCOMES}
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class CannotFold(ServiceError):
    """An event that cannot become part of the state; `reason` repeats none of its values."""

    status = 422

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(
            f"Nothing was recorded: the event could not become part of the state, because {reason}.",
            "If its payment was imported, repair that row and import the history into a new ledger.",
            field,
        )
        self.reason = reason


class PaymentStep(msgspec.Struct, frozen=True, gc=False):
    """A payment; `enters` says whether it becomes part of the state, `body` is None if it was never decided."""

    payment: Payment
    body: receipts.Body | None
    enters: bool


class ReportStep(msgspec.Struct, frozen=True):
    """An outcome or label of a payment."""

    report: ReportEvent
    payment: Payment


class ProfileStep(msgspec.Struct, frozen=True):
    """One version of a profile, and its rowid in the profile file."""

    entity: str
    entity_id: str
    row: ProfileRow
    file_row: int


class HistoryStep(msgspec.Struct, frozen=True):
    """An imported history, stored next to the ledger."""

    body: HistoryEvent


class NoStep(msgspec.Struct, frozen=True):
    """An event that changes no state."""


Step = PaymentStep | ReportStep | ProfileStep | HistoryStep | NoStep


def step_of(event: Event, catalogue: Catalogue) -> Step:
    """The step that folds an event.

    Values of a payment that only the encoder can refuse are left to the fold (`State` raises before it changes
    anything): encoding every payment twice would make a start a third slower.
    Raises: CannotFold.
    """
    try:
        _check_columns(event)
        return _STEPS[event.kind](event, catalogue)
    except CannotFold:
        raise
    except UNFOLDABLE as error:
        raise CannotFold(reason_of(error)) from error


def checked_step_of(event: Event, catalogue: Catalogue) -> Step:
    """As `step_of`, with the checks of the encoder: for readers that do not fold, or compare.

    Raises: CannotFold.
    """
    step = step_of(event, catalogue)
    if isinstance(step, PaymentStep) and step.enters:
        try:
            encode_extra(step.payment, catalogue, np.empty(extra_words(catalogue)))
            reference_amount(step.payment, catalogue)
        except UNFOLDABLE as error:
            raise CannotFold(reason_of(error)) from error
    return step


def reason_of(error: BaseException) -> str:
    """Why an event cannot be folded, as the end of a sentence, without its values."""
    if isinstance(error, msgspec.ValidationError):
        return _without_values(str(error))
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return "its body is no JSON"
    if isinstance(error, RecursionError):
        return "its body is nested too deeply"
    if isinstance(error, OverflowError):
        return "a number in it is too large"
    if isinstance(error, KeyError | IndexError):
        return "it holds a word that this release does not know (country or effect)"
    return f"a value in it is of the wrong kind ({type(error).__name__})"


def _without_values(text: str) -> str:
    """A message of msgspec without values and unknown names; names of types and paths stay."""
    said, _, place = text.partition(" - at `")
    said = re.sub(r"unknown field `.*`", "an unknown field", said, flags=re.DOTALL)
    said = re.sub(r"[Ii]nvalid (\w+ )?value '?.*", "an invalid value", said, flags=re.DOTALL)
    where = place.rstrip("`")
    return f"{said[:1].lower()}{said[1:]}" + (f" at {where}" if re.fullmatch(r"\$[\w.\[\]]*", where) else "")


def _check_columns(event: Event) -> None:
    """A row written into SQLite by hand may have any type in any column."""
    if event.kind not in _STEPS:
        raise CannotFold("this release knows no events of that kind")
    if not isinstance(event.transaction_id, str) or not isinstance(event.body, bytes):
        raise CannotFold("a column of it is of the wrong type")
    for moment in (event.event_time_ms, event.arrival_time_ms):
        if not isinstance(moment, int) or abs(moment) > _LARGEST_INTEGER:
            raise CannotFold("its time is no number of milliseconds")


def _paid(event: Event, catalogue: Catalogue) -> PaymentStep:
    body = receipts.decided(event.body)
    payment = stored_payment(receipts.payment_in(event.body) if body is None else body.payment)
    if not 0 <= payment.amount_minor <= LARGEST_AMOUNT_MINOR:
        raise CannotFold("its amount is out of range")
    if not _EARLIEST_MS <= payment.event_time_ms <= _LATEST_MS:
        raise CannotFold("its event time is out of range")
    # A payment enters the state when it is admitted, even if it was never decided.
    return PaymentStep(payment, body, body is None or body.receipt.folded)


def _reported(event: Event, catalogue: Catalogue) -> ReportStep:
    report = decode_report(event.body)
    payment = stored_payment(report.payment)
    _check_report(event.kind, report)
    for effect in report.effects:
        known = FILTERS.get(effect.what)
        if known is None or not known.known_later or effect.weight not in (-1, 1):
            raise CannotFold("it has an effect that this release does not know")
        if abs(payment.amount_minor) > _LARGEST_INTEGER:
            raise CannotFold("the amount of its payment is too large")
    return ReportStep(report, payment)


def _check_report(kind: str, report: ReportEvent | WaitingEvent) -> None:
    if report.value not in _WORDS[kind]:
        raise CannotFold(f"its value is no {kind}")
    if not _FIRST_MOMENT_MS <= report.reported_at_ms <= _LAST_MOMENT_MS:
        raise CannotFold("the time of the report is out of range")


def _waits(event: Event, catalogue: Catalogue) -> NoStep:
    """A report that waits changes nothing until its payment is known."""
    report = decode_waiting(event.body)
    _check_report(report.kind, report)
    return NoStep()


def _profiled(event: Event, catalogue: Catalogue) -> ProfileStep:
    body = decode_profile_event(event.body)
    row = decode_profile(bytes(body.row))
    if type(row) is not PROFILE_KINDS.get(body.entity):
        raise CannotFold("its profile is of another kind than its entity")
    check_profile(row)
    if abs(body.file_row) > _LARGEST_INTEGER:
        raise CannotFold("the number of its row is out of range")
    return ProfileStep(body.entity, body.entity_id, row, body.file_row)


def _imported(event: Event, catalogue: Catalogue) -> HistoryStep:
    body = decode_history(event.body)
    if _DIGEST.fullmatch(body.sha256) is None:
        raise CannotFold("it has no digest of a history")
    if any(abs(number) > _LARGEST_INTEGER for number in (body.rows, body.first_ms, body.last_ms, body.until_ms)):
        raise CannotFold("a number in it is too large")
    return HistoryStep(body)


def _noted(decode: Callable[[bytes], object]) -> Callable[[Event, Catalogue], NoStep]:
    def note(event: Event, catalogue: Catalogue) -> NoStep:
        decode(event.body)
        return NoStep()

    return note


_STEPS: dict[str, Callable[[Event, Catalogue], Step]] = {
    "payment": _paid,
    "outcome": _reported,
    "label": _reported,
    "waiting": _waits,
    "profile": _profiled,
    "history": _imported,
    "promotion": _noted(decode_promotion),
    "hashing": _noted(decode_hashing),
    "verdict": _noted(decode_verdict),
    LIST: _noted(decode_change),
    INCIDENT: _noted(decode_incident),
}
