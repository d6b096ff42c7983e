"""Outcomes and labels: each enters ledger and state once, with the time of its report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import InvalidHistory
from features.intake.parse import milliseconds, payment_json
from serving.decision.clock import Clock
from serving.errors import UnknownTransaction
from serving.ledger.event_bodies import Effect, ReportEvent, encode
from serving.ledger.history_segment import Segment, payment_of_row
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.messages import Recorded
from serving.state.fold import Fold
from serving.state.foldable import UNFOLDABLE, CannotFold, PaymentStep, ReportStep, reason_of, step_of
from serving.state.label_precedence import EarlierReport, Original, effects_of
from serving.state.outcomes import LabelReport, OutcomeReport


class FeedbackResult(NamedTuple):
    """The reply to a report, and whether the report was recorded before."""

    reply: Recorded
    replayed: bool


class EmbeddedFeedback:
    """Records outcomes and labels; runs in the event loop's thread, like the engine."""

    def __init__(self, ledger: Ledger, fold: Fold, clock: Clock) -> None:
        self.ledger = ledger
        self.fold = fold
        self.clock = clock

    async def take_outcome(self, report: OutcomeReport) -> FeedbackResult:
        """`outcome` for the API."""
        return self.outcome(report)

    async def take_label(self, report: LabelReport) -> FeedbackResult:
        """`label` for the API."""
        return self.label(report)

    def outcome(self, report: OutcomeReport) -> FeedbackResult:
        """Record an outcome; idempotent.

        Raises: UnknownTransaction, CannotFold.
        """
        return self._take(
            report.transaction_id, EarlierReport("outcome", report.outcome, None, report.event_time_ms), None
        )

    def label(self, report: LabelReport, verdict_seq: int | None = None) -> FeedbackResult:
        """Record a label; idempotent, and of two that disagree the later reported wins.

        Raises: UnknownTransaction, CannotFold, Conflict if a later report says otherwise.
        """
        one = EarlierReport("label", report.label, report.source, report.reported_at_ms)
        return self._take(report.transaction_id, one, verdict_seq)

    def _take(self, transaction_id: str, one: EarlierReport, verdict_seq: int | None) -> FeedbackResult:
        self.ledger.flush()
        original = self._original(transaction_id)
        known = reports_in(self.ledger.reports(transaction_id, one.kind), self.fold.catalogue)
        effects = effects_of(one, original, known)
        if effects is not None:
            event = event_of(original.payment, one, effects, verdict_seq)
            step = step_of(event, self.fold.catalogue)
            # The ledger comes first: an event that is not in the file must not change the state.
            self.ledger.append_now(*event[1:])
            self.fold.apply_step(step)
            self.clock.advance(one.reported_at_ms)
        return FeedbackResult(Recorded(transaction_id, one.value), effects is None)

    def _original(self, transaction_id: str) -> Original:
        event = self.ledger.payment(transaction_id)
        if event is not None:
            return scored_here(event, self.fold.catalogue)
        found = None if self.fold.segment is None else in_history(self.fold.segment, transaction_id)
        if found is None:
            raise unknown_transaction(transaction_id)
        return found


def event_of(payment: Payment, one: EarlierReport, effects: tuple[Effect, ...], verdict_seq: int | None) -> Event:
    """The event of a report, without a sequence number.

    Raises: CannotFold for a payment that JSON cannot carry.
    """
    try:
        raw = msgspec.Raw(payment_json(payment))
    except UNFOLDABLE as error:
        raise CannotFold(reason_of(error), "transaction_id") from error
    name, at_ms = payment.transaction_id, one.reported_at_ms
    body = encode(ReportEvent(name, one.value, one.source, at_ms, effects, raw, verdict_seq))
    return Event(0, one.kind, name, at_ms, time.time_ns() // 1_000_000, body)


def reports_in(events: Iterable[Event], catalogue: Catalogue) -> list[EarlierReport]:
    """The outcomes and labels of these events, without the events that are set aside."""
    found = []
    for event in events:
        with contextlib.suppress(CannotFold):
            step = step_of(event, catalogue)
            if isinstance(step, ReportStep):
                one = step.report
                found.append(EarlierReport(event.kind, one.value, one.source, one.reported_at_ms))
    return found


def scored_here(event: Event, catalogue: Catalogue) -> Original:
    """The payment of a `payment` event.

    Raises: CannotFold when the event is set aside.
    """
    step = step_of(event, catalogue)
    assert isinstance(step, PaymentStep)
    return Original(step.payment, None, 0, None)


def unknown_transaction(transaction_id: str) -> UnknownTransaction:
    """The refusal of a report about an unknown payment."""
    return UnknownTransaction(
        f"Transaction `{transaction_id}` was never scored here and is in no imported history.",
        "Score the payment first, or correct the transaction_id.",
        "transaction_id",
    )


def in_history(segment: Segment, transaction_id: str) -> Original | None:
    """A transaction of an imported history; its reports from `until_ms` on do not count.

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
