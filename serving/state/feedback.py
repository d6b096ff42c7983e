"""Outcomes and labels of the embedded profile: each enters ledger and state once, or waits for its payment."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence

from features.domain.payment import LABEL_SOURCES, Payment
from features.errors import RiskgateError
from serving.cases.cases import UnknownCase, case_of
from serving.decision.clock import Clock
from serving.errors import LedgerError
from serving.feedback.changes import Precedence, change_of
from serving.feedback.intake import check_not_ahead
from serving.feedback.outcome_rules import check_outcome
from serving.feedback.reports import KnownReport, LabelReport, Original, OutcomeReport, of_kind
from serving.feedback.view import KnownPayment
from serving.feedback.waiting import LONGEST_WAIT_SECONDS, WaitingReports, refused_for, still_waiting
from serving.ledger.sqlite.ledger import Ledger
from serving.state.fold import Fold
from serving.state.foldable import UNFOLDABLE, CannotFold, reason_of, step_of
from serving.state.report_events import (
    REPORT_KINDS,
    FeedbackResult,
    in_history,
    reply_of,
    report_event,
    reports_in,
    scored_here,
    undecided_payment,
    unknown_transaction,
    waiting_event,
)

log = logging.getLogger("riskgate.feedback")


class EmbeddedFeedback:
    """Records outcomes and labels; runs in the event loop's thread, like the engine."""

    def __init__(
        self, ledger: Ledger, fold: Fold, clock: Clock, precedence: Precedence = lambda: LABEL_SOURCES
    ) -> None:
        self.ledger = ledger
        self.fold = fold
        self.clock = clock
        self.precedence = precedence
        self.waiting = WaitingReports()
        #: Reports that waited and were refused when their payment became known.
        self.refused_count = 0
        #: Payments that became known while their reports could not be applied.
        self._overdue: set[str] = set()

    async def take_outcome(self, report: OutcomeReport) -> FeedbackResult:
        """See `Feedback.take_outcome`."""
        check_not_ahead("event_time", report.event_time_ms, self.clock.now_ms())
        return self.outcome(report)

    async def take_label(self, report: LabelReport) -> FeedbackResult:
        """See `Feedback.take_label`."""
        check_not_ahead("reported_at", report.reported_at_ms, self.clock.now_ms())
        if report.payment is not None:
            check_not_ahead("payment.event_time", report.payment.event_time_ms, self.clock.now_ms())
        return self.label(report)

    async def known(self, transaction_id: str) -> KnownPayment | None:
        """See `Feedback.known`."""
        self.ledger.flush()
        original = self._original(transaction_id)
        if original is None:
            return None
        try:
            case = case_of(self.ledger.connection, transaction_id)
        except UnknownCase:
            case = None
        return KnownPayment(original, self._recorded(transaction_id), case)

    async def reports_waiting(self, transaction_id: str) -> Sequence[KnownReport]:
        """See `Feedback.reports_waiting`."""
        return self.waiting.about(transaction_id)

    def outcome(self, report: OutcomeReport) -> FeedbackResult:
        """Record an outcome; idempotent.

        Raises: CannotFold; Conflict for an outcome that another excludes; Refused for one whose amount or time cannot
        be; Overloaded when too many reports wait.
        """
        return self._take(report.transaction_id, report.known(), None)

    def label(self, report: LabelReport, verdict_seq: int | None = None) -> FeedbackResult:
        """Record a label; idempotent. The label of a verdict does not wait for its payment.

        Raises: CannotFold; UnknownTransaction for a verdict; Overloaded when too many reports wait.
        """
        return self._take(report.transaction_id, report.known(), verdict_seq, report)

    def _take(
        self, transaction_id: str, one: KnownReport, verdict_seq: int | None, label: LabelReport | None = None
    ) -> FeedbackResult:
        self.ledger.flush()
        original = self._original(transaction_id)
        if original is None and verdict_seq is not None:
            raise unknown_transaction(transaction_id)
        if original is None and label is not None and label.payment is not None:
            original, one = self._take_undecided(label.payment), label.brings()
            self._apply_waiting(transaction_id, original, but=one)
            return self._apply(original, one, brought=True)
        if original is None:
            return self._wait(transaction_id, one)
        self._apply_waiting(transaction_id, original)
        return self._apply(original, one, verdict_seq)

    def _apply(
        self, original: Original, one: KnownReport, verdict_seq: int | None = None, brought: bool = False
    ) -> FeedbackResult:
        name, precedence = original.payment.transaction_id, self.precedence()
        recorded = self._recorded(name)
        change = change_of(one, original, recorded, precedence)
        if change is not None:
            event = report_event(original.payment, one, change, verdict_seq, brought)
            step = step_of(event, self.fold.catalogue)
            # The ledger comes first: an event that is not in the file must not change the state.
            self.ledger.append_now(*event[1:])
            self.fold.apply_step(step)
            self.clock.advance(one.reported_at_ms)
            recorded.append(one._replace(in_force=change.in_force))
        return FeedbackResult(reply_of(name, one, (*original.before, *recorded), precedence), change is None)

    def _recorded(self, transaction_id: str) -> list[KnownReport]:
        """The recorded outcomes, then the labels, then what was refused; each in order of arrival."""
        events = [event for kind in REPORT_KINDS for event in self.ledger.reports(transaction_id, kind)]
        return reports_in(events, self.fold.catalogue)

    def _original(self, transaction_id: str) -> Original | None:
        event = self.ledger.payment(transaction_id)
        if event is not None:
            return scored_here(event, self.fold.catalogue)
        return None if self.fold.segment is None else in_history(self.fold.segment, transaction_id)

    def _take_undecided(self, payment: Payment) -> Original:
        event, step = undecided_payment(payment, self.fold.catalogue)
        self.ledger.append_now(*event[1:])
        self.fold.apply_step(step)
        return Original(payment)

    # -- reports that wait ---------------------------------------------------------------------

    def _wait(self, transaction_id: str, one: KnownReport) -> FeedbackResult:
        others = self.waiting.about(transaction_id)
        replayed = any(one.repeats(other) for other in others)
        if not replayed:
            if one.kind == "outcome":
                check_outcome(transaction_id, one, of_kind(others, "outcome"), None)
            event = waiting_event(transaction_id, one, self.fold.catalogue)
            self.waiting.check_room(transaction_id, event.arrival_time_ms)
            self.ledger.append_now(*event[1:])
            self.waiting.add(transaction_id, one, event.arrival_time_ms)
        return FeedbackResult(reply_of(transaction_id, one, None, ()), replayed)

    def on_known(self, transaction_id: str) -> None:
        """Apply the reports that waited for a payment that has just been recorded; what fails is tried again."""
        try:
            self.ledger.flush()
            original = self._original(transaction_id)
            if original is not None:
                self._apply_waiting(transaction_id, original)
                self._overdue.discard(transaction_id)
        except LedgerError as error:
            log.warning("reports still wait for a payment that is known: %s", error)
            self._overdue.add(transaction_id)
        except UNFOLDABLE as error:
            log.warning("reports wait for a payment that cannot be read: %s", reason_of(error))
            self.waiting.remove(transaction_id)

    def _apply_waiting(self, transaction_id: str, original: Original, but: KnownReport | None = None) -> None:
        """Apply what waits for a payment, but for a report that follows, and record which reports it refuses."""
        if transaction_id not in self.waiting:
            return
        for one in still_waiting(self.waiting.about(transaction_id), self._recorded(transaction_id)):
            if but is not None and one.repeats(but):
                continue
            try:
                self._apply(original, one)
            except RiskgateError as error:
                # It could not be compared with its payment while it waited: its caller finds the refusal later.
                log.warning("a report that waited for transaction `%s` is refused: %s", transaction_id, error)
                event = waiting_event(transaction_id, refused_for(one, error), self.fold.catalogue)
                self.ledger.append_now(*event[1:])
                self.refused_count += 1
        self.waiting.remove(transaction_id)

    def retry_waiting(self) -> None:
        """Try again what `on_known` could not do."""
        for name in list(self._overdue):
            self.on_known(name)

    def load_waiting(self) -> None:
        """Read from the ledger which reports wait, and apply those whose payment is known: scored, or imported since.

        Raises: LedgerError.
        """
        now_ms = time.time_ns() // 1_000_000
        for event in self.ledger.since("waiting", now_ms - LONGEST_WAIT_SECONDS * 1000):
            with contextlib.suppress(CannotFold):
                step_of(event, self.fold.catalogue)
                self.waiting.fold(event)
        for name in self.waiting:
            self.on_known(name)
