"""Outcomes and labels: what became known about a payment enters ledger and state, once, at its own time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import InvalidHistory
from features.intake.parse import payment_json
from serving.decision.clock import Clock
from serving.errors import Conflict, UnknownTransaction
from serving.ledger.history_segment import Segment, milliseconds, payment_of_row
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.messages import Recorded
from serving.state.fold import Effect, Fold, Report, encode
from serving.state.foldable import UNFOLDABLE, CannotFold, Paid, Reported, reason_of, step_of
from serving.state.outcomes import LabelReport, OutcomeReport

#: What each report changes in the state; an outcome or label not named here changes nothing.
EFFECTS = {name: name for name in ("declined", "reversed", "fraud", "legitimate")}


class Taken(NamedTuple):
    """A report's reply, and whether it had been recorded before."""

    reply: Recorded
    replayed: bool


class Original(NamedTuple):
    """The payment a report is about, and what the imported history already said of it."""

    payment: Payment
    label: str | None
    label_ms: int
    outcome: str | None


class EmbeddedFeedback:
    """Takes outcomes and labels; runs in the event loop's thread, like the engine."""

    def __init__(self, ledger: Ledger, fold: Fold, clock: Clock) -> None:
        self.ledger = ledger
        self.fold = fold
        self.clock = clock

    async def take_outcome(self, report: OutcomeReport) -> Taken:
        """See `outcome`: the way in from HTTP."""
        return self.outcome(report)

    async def take_label(self, report: LabelReport) -> Taken:
        """See `label`: the way in from HTTP."""
        return self.label(report)

    def outcome(self, report: OutcomeReport) -> Taken:
        """Record what the issuer did; the same outcome again changes nothing.

        Raises: UnknownTransaction, CannotFold.
        """
        self.ledger.flush()
        original = self._original(report.transaction_id)
        reply = Recorded(report.transaction_id, report.outcome)
        known = self._known(report.transaction_id, "outcome")
        effects = effects_of_outcome(report, original, known)
        if effects is None:
            return Taken(reply, True)
        self._append("outcome", report.outcome, None, report.event_time_ms, original.payment, effects, None)
        return Taken(reply, False)

    def label(self, report: LabelReport, verdict_seq: int | None = None) -> Taken:
        """Record a label; the same again changes nothing, of two that disagree the later reported wins.

        Raises: UnknownTransaction, CannotFold, Conflict if a later report says otherwise.
        """
        self.ledger.flush()
        original = self._original(report.transaction_id)
        reply = Recorded(report.transaction_id, report.label)
        known = self._known(report.transaction_id, "label")
        effects = effects_of_label(report, original, known)
        if effects is None:
            return Taken(reply, True)
        self._append(
            "label", report.label, report.source, report.reported_at_ms, original.payment, effects, verdict_seq
        )
        return Taken(reply, False)

    def _append(
        self,
        kind: str,
        value: str,
        source: str | None,
        reported_at_ms: int,
        payment: Payment,
        effects: tuple[Effect, ...],
        verdict_seq: int | None,
    ) -> None:
        event = event_of(kind, payment, value, source, reported_at_ms, effects, verdict_seq)
        step = step_of(event, self.fold.catalogue)
        # The ledger first: an event that is not in the file must not change the state.
        self.ledger.append_now(*event[1:])
        self.fold.take(step)
        self.clock.advance(reported_at_ms)

    def _known(self, transaction_id: str, kind: str) -> list[Report]:
        return reports_in(self.ledger.reports(transaction_id, kind), self.fold.catalogue)

    def _original(self, transaction_id: str) -> Original:
        event = self.ledger.payment(transaction_id)
        if event is not None:
            return scored_here(event, self.fold.catalogue)
        found = None if self.fold.segment is None else in_history(self.fold.segment, transaction_id)
        if found is None:
            raise unknown_transaction(transaction_id)
        return found


def event_of(
    kind: str,
    payment: Payment,
    value: str,
    source: str | None,
    reported_at_ms: int,
    effects: tuple[Effect, ...],
    verdict_seq: int | None,
) -> Event:
    """The event of a report, with no number yet.

    Raises: CannotFold for a payment that JSON cannot carry.
    """
    try:
        raw = msgspec.Raw(payment_json(payment))
    except UNFOLDABLE as error:
        raise CannotFold(reason_of(error), "transaction_id") from error
    body = encode(Report(payment.transaction_id, value, source, reported_at_ms, effects, raw, verdict_seq))
    return Event(0, kind, payment.transaction_id, reported_at_ms, time.time_ns() // 1_000_000, body)


def reports_in(events: Iterable[Event], catalogue: Catalogue) -> list[Report]:
    """The reports of these events, without those that are set aside."""
    found = []
    for event in events:
        with contextlib.suppress(CannotFold):
            step = step_of(event, catalogue)
            if isinstance(step, Reported):
                found.append(step.report)
    return found


def scored_here(event: Event, catalogue: Catalogue) -> Original:
    """The payment of a `payment` event.

    Raises: CannotFold when the event is set aside.
    """
    step = step_of(event, catalogue)
    assert isinstance(step, Paid)
    return Original(step.payment, None, 0, None)


class Known(Protocol):
    """A report that was taken before."""

    @property
    def value(self) -> str:
        """What it said."""
        ...

    @property
    def source(self) -> str | None:
        """Who said it, of a label."""
        ...

    @property
    def reported_at_ms(self) -> int:
        """When it was said, ms UTC."""
        ...


def effects_of_outcome(report: OutcomeReport, original: Original, known: Sequence[Known]) -> tuple[Effect, ...] | None:
    """What an outcome changes in the state, given the outcomes taken before it; None if it is one of them."""
    if report.outcome == original.outcome or any(one.value == report.outcome for one in known):
        return None
    return _effects(report.outcome)


def effects_of_label(report: LabelReport, original: Original, known: Sequence[Known]) -> tuple[Effect, ...] | None:
    """What a label changes in the state, given the labels taken before it; None if it is one of them.

    Raises: Conflict if a later report says otherwise.
    """
    current, current_ms = original.label, original.label_ms
    for one in known:
        if (one.value, one.source, one.reported_at_ms) == (report.label, report.source, report.reported_at_ms):
            return None
        if current is None or one.reported_at_ms >= current_ms:
            current, current_ms = one.value, one.reported_at_ms
    if current is not None and current != report.label and report.reported_at_ms <= current_ms:
        raise Conflict(
            f"A later report says that transaction `{report.transaction_id}` is {current}.",
            "Send the label with the time at which it was really reported.",
            "reported_at",
        )
    if current == report.label:
        return ()
    taken_back = () if current is None else _effects(current, -1)
    return (*taken_back, *_effects(report.label))


def unknown_transaction(transaction_id: str) -> UnknownTransaction:
    """The refusal of a report about a payment that nobody knows."""
    return UnknownTransaction(
        f"Transaction `{transaction_id}` was never scored here and is in no imported history.",
        "Score the payment first, or correct the transaction_id.",
        "transaction_id",
    )


def in_history(segment: Segment, transaction_id: str) -> Original | None:
    """What an imported history knows of a transaction; reports later than its cut do not count.

    Raises: CannotFold for a row that is no payment, InvalidHistory.
    """
    try:
        row = segment.row(transaction_id)
        return None if row is None else _original_of(row, segment)
    except InvalidHistory:
        raise
    except UNFOLDABLE as error:
        raise CannotFold(reason_of(error), "transaction_id") from error


def _original_of(row: dict[str, Any], segment: Segment) -> Original:
    label, outcome = row.get("label"), row.get("outcome")
    label_ms = milliseconds(row["label_time"]) if label is not None else 0
    if label_ms >= segment.until_ms:
        label, label_ms = None, 0
    if outcome is not None and milliseconds(row["outcome_time"]) >= segment.until_ms:
        outcome = None
    return Original(payment_of_row(row), label, label_ms, outcome)


def _effects(value: str, weight: int = 1) -> tuple[Effect, ...]:
    return (Effect(EFFECTS[value], weight),) if value in EFFECTS else ()
