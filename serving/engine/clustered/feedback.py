"""Outcomes and labels over Redis: compared with earlier reports, then folded and recorded in one script.

Redis keeps recent reports under a key next to the payment's idempotency record; older ones are in PostgreSQL, where the
recorder has written them long before they expire in Redis. A report about an unknown payment waits in Redis; the script
that records a decision says so, and then it is applied like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from features.domain.payment import LABEL_SOURCES, Payment
from features.errors import RiskgateError
from features.intake.parse import payment_json, stored_payment
from features.state.remote import EntityStrings
from serving.decision.clock import Clock
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.engine.retry_identity import content_digest
from serving.errors import LedgerUnavailable
from serving.feedback.changes import Change, Precedence, change_of
from serving.feedback.intake import check_not_ahead
from serving.feedback.outcome_rules import check_outcome
from serving.feedback.reports import (
    KnownReport,
    LabelReport,
    Original,
    OutcomeReport,
    decode_reports,
    encode_reports,
    of_kind,
)
from serving.feedback.view import KnownPayment
from serving.feedback.waiting import (
    LONGEST_WAIT_SECONDS,
    MOST_ABOUT_ONE,
    MOST_WAITING,
    refused_for,
    still_waiting,
    too_many_waiting,
)
from serving.ledger.reader import Event
from serving.redis_store.idempotency_record import NEVER_DUE_MS
from serving.redis_store.messages import EventHeader, StringAppend, stream_is_full
from serving.redis_store.reports.recorded import RedisReports
from serving.redis_store.reports.waiting import RedisWaiting, Waits
from serving.redis_store.state import RedisState, default_deadline
from serving.redis_store.stream_lookup import unrecorded_content
from serving.state.foldable import UNFOLDABLE, CannotFold, ReportStep, reason_of, step_of
from serving.state.report_events import (
    FeedbackResult,
    reply_of,
    report_event,
    undecided_payment,
    unknown_transaction,
    waiting_event,
)

log = logging.getLogger("riskgate.feedback")

#: Attempts of one report against concurrent reports about the same payment.
MAX_ATTEMPTS = 50


class RedisFeedback:
    """Takes outcomes and labels for a state that many workers share (a `Feedback` of serving/engine/protocols.py)."""

    def __init__(
        self, state: RedisState, strings: EntityStrings, clock: Clock, lookup: LedgerLookup,
        precedence: Precedence = lambda: LABEL_SOURCES,
    ) -> None:  # fmt: skip
        self.strings = strings
        self.clock = clock
        self.lookup = lookup
        self.state = state
        self.precedence = precedence
        self.reports = RedisReports(state)
        self.waiting = RedisWaiting(state, keep_seconds=LONGEST_WAIT_SECONDS, most=MOST_WAITING)
        #: Transactions with reports that waited when `sweep` last looked.
        self.waiting_count = 0
        #: Reports that waited and were refused by this process when their payment became known.
        self.refused_count = 0
        self._sweep_from = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def take_outcome(self, report: OutcomeReport) -> FeedbackResult:
        """See `Feedback.take_outcome`."""
        check_not_ahead("event_time", report.event_time_ms, self.clock.now_ms())
        return await self._take(report.transaction_id, report.known(), None)

    async def take_label(self, report: LabelReport, verdict_seq: int | None = None) -> FeedbackResult:
        """See `Feedback.take_label`; the label of a verdict does not wait for its payment: UnknownTransaction."""
        if verdict_seq is None:
            check_not_ahead("reported_at", report.reported_at_ms, self.clock.now_ms())
        if report.payment is not None:
            check_not_ahead("payment.event_time", report.payment.event_time_ms, self.clock.now_ms())
        return await self._take(report.transaction_id, report.known(), verdict_seq, report)

    async def known(self, transaction_id: str) -> KnownPayment | None:
        """See `Feedback.known`."""
        original = await self._original(transaction_id)
        if original is None:
            return None
        waiting = await self.waiting.about(transaction_id)
        if waiting:
            await self._apply_waiting(original, waiting)
        _, recorded = await self._recorded(transaction_id)
        return KnownPayment(original, recorded, await asyncio.to_thread(self.lookup.case, transaction_id))

    async def reports_waiting(self, transaction_id: str) -> Sequence[KnownReport]:
        """See `Feedback.reports_waiting`."""
        return _decoded(await self.waiting.about(transaction_id))

    async def _take(
        self, transaction_id: str, one: KnownReport, verdict_seq: int | None, label: LabelReport | None = None
    ) -> FeedbackResult:
        brought = False
        for _ in range(MAX_ATTEMPTS):
            original, waiting = await asyncio.gather(self._original(transaction_id), self.waiting.about(transaction_id))
            if original is not None:
                if waiting:
                    await self._apply_waiting(original, waiting, but=one if brought else None)
                return await self._apply(original, one, verdict_seq, brought)
            if verdict_seq is not None:
                raise unknown_transaction(transaction_id)
            if label is not None and label.payment is not None:
                await self._take_undecided(label.payment)
                one, brought = label.brings(), True
            elif (result := await self._wait(transaction_id, one, waiting)) is not None:
                return result
        raise _too_many_attempts()

    async def _apply(
        self, original: Original, one: KnownReport, verdict_seq: int | None = None, brought: bool = False
    ) -> FeedbackResult:
        name, precedence = original.payment.transaction_id, self.precedence()
        for _ in range(MAX_ATTEMPTS):
            former, recorded = await self._recorded(name)
            change = change_of(one, original, recorded, precedence)
            if change is None:
                return FeedbackResult(reply_of(name, one, (*original.before, *recorded), precedence), True)
            recorded = [*recorded, one._replace(in_force=change.in_force)]
            event = report_event(original.payment, one, change, verdict_seq, brought)
            if await self._record(event, change, former, recorded):
                self.clock.advance(one.reported_at_ms)
                return FeedbackResult(reply_of(name, one, (*original.before, *recorded), precedence), False)
        raise _too_many_attempts()

    async def _record(self, event: Event, change: Change, former: bytes, reports: Sequence[KnownReport]) -> bool:
        step = step_of(event, self.strings.catalogue)
        assert isinstance(step, ReportStep)
        # `step.payment` is the payment as the event will be decoded, so a later fold of the ledger appends the same.
        foldings = [
            StringAppend(kind, key, tail)
            for effect in change.effects
            for kind, (key, tail) in self.strings.report(step.payment, effect.what, effect.weight).items()
        ]
        done = await self.reports.record(_header(event), event.body, former, encode_reports(reports), foldings)
        if done is None:
            raise stream_is_full()
        return done

    async def _recorded(self, transaction_id: str) -> tuple[bytes, Sequence[KnownReport]]:
        """The recorded reports about a payment as Redis holds them (empty: none), and decoded or from PostgreSQL."""
        former = await self.reports.about(transaction_id)
        if former:
            return former, _decoded(former)
        return former, await asyncio.to_thread(self.lookup.reports, transaction_id)

    async def _original(self, transaction_id: str) -> Original | None:
        content = await unrecorded_content(self.state, transaction_id)
        if content is not None:
            try:
                return Original(stored_payment(content))
            except UNFOLDABLE as error:
                raise CannotFold(reason_of(error), "transaction_id") from error
        return await asyncio.to_thread(self.lookup.original, transaction_id)

    async def _take_undecided(self, payment: Payment) -> None:
        event, step = undecided_payment(payment, self.strings.catalogue)
        content, payment = payment_json(payment), step.payment
        admitted = await self.state.admit(
            payment, self.strings.entry(payment), content, content_digest(content), NEVER_DUE_MS,
            event.arrival_time_ms, default_deadline(),
        )  # fmt: skip
        if admitted.full:
            raise stream_is_full()

    # -- reports that wait ---------------------------------------------------------------------

    async def _wait(self, transaction_id: str, one: KnownReport, waiting: bytes) -> FeedbackResult | None:
        """Let a report wait; None if that must be tried again, because its payment or another report came."""
        others, reply = _decoded(waiting), reply_of(transaction_id, one, None, ())
        if any(one.repeats(other) for other in others):
            return FeedbackResult(reply, True)
        if one.kind == "outcome":
            check_outcome(transaction_id, one, of_kind(others, "outcome"), None)
        if len(others) >= MOST_ABOUT_ONE:
            raise too_many_waiting()
        event = waiting_event(transaction_id, one, self.strings.catalogue)
        reports = encode_reports([*others, one])
        done = await self.waiting.add(_header(event), event.body, waiting, reports)
        if done == Waits.STREAM_FULL:
            raise stream_is_full()
        if done == Waits.TOO_MANY:
            raise too_many_waiting()
        return FeedbackResult(reply, False) if done == Waits.RECORDED else None

    def on_known(self, transaction_id: str) -> None:
        """Apply in a task the reports that waited for a payment that has just been decided."""
        task = asyncio.get_running_loop().create_task(self._apply_known(transaction_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _apply_known(self, transaction_id: str) -> None:
        try:
            waiting = await self.waiting.about(transaction_id)
            original = await self._original(transaction_id) if waiting else None
            if original is not None:
                await self._apply_waiting(original, waiting)
        except LedgerUnavailable as error:
            log.warning("reports still wait for a payment that is known: %s", error)
        except Exception:
            log.exception("reports that waited could not be applied")

    async def _apply_waiting(self, original: Original, waiting: bytes, but: KnownReport | None = None) -> None:
        """Apply what waits for a payment, but for a report that follows, and record which reports it refuses."""
        name = original.payment.transaction_id
        _, recorded = await self._recorded(name)
        for one in still_waiting(_decoded(waiting), recorded):
            if but is not None and one.repeats(but):
                continue
            try:
                await self._apply(original, one)
            except LedgerUnavailable:
                raise
            except RiskgateError as error:
                # It could not be compared with its payment while it waited: its caller finds the refusal later.
                await self._record_refused(name, one, error)
        await self.waiting.forget(name, waiting)

    async def _record_refused(self, transaction_id: str, one: KnownReport, error: RiskgateError) -> None:
        refused = refused_for(one, error)
        event = waiting_event(transaction_id, refused, self.strings.catalogue)
        for _ in range(MAX_ATTEMPTS):
            former, recorded = await self._recorded(transaction_id)
            if not still_waiting([one], recorded):
                return  # another worker was faster
            reports = encode_reports([*recorded, refused])
            done = await self.reports.record(_header(event), event.body, former, reports, ())
            if done is None:
                raise stream_is_full()
            if done:
                self.refused_count += 1
                log.warning("a report that waited for transaction `%s` is refused: %s", transaction_id, error)
                return
        raise _too_many_attempts()

    async def count_waiting(self) -> None:
        """Read how many transactions have reports that wait.

        Raises: StateUnavailable.
        """
        self.waiting_count = await self.waiting.count()

    async def sweep(self) -> None:
        """Apply what waits for payments that became known otherwise: an import, or a worker that died.

        One page of the index at a time.
        Raises: LedgerUnavailable.
        """
        await self.waiting.forget_older(time.time_ns() // 1_000_000 - LONGEST_WAIT_SECONDS * 1000)
        names = await self.waiting.names(self._sweep_from)
        self._sweep_from = self._sweep_from + len(names) if names else 0
        for name in names:
            with contextlib.suppress(CannotFold):
                if await self._original(name) is not None:
                    await self._apply_known(name)


def _decoded(reports: bytes) -> list[KnownReport]:
    return decode_reports(reports) if reports else []


def _header(event: Event) -> EventHeader:
    return EventHeader(event.kind, event.transaction_id, event.event_time_ms, event.arrival_time_ms)


def _too_many_attempts() -> LedgerUnavailable:
    return LedgerUnavailable("Too many concurrent reports about one payment.", "Send the same again in a moment.")
