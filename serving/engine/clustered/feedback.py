"""Outcomes and labels over Redis: compared with earlier reports, then folded and recorded in one script.

Redis keeps recent reports under a key next to the payment's idempotency record; older ones are in PostgreSQL, where the
recorder has written them long before they expire in Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from features.domain.payment import Payment
from features.intake.parse import stored_payment
from features.state.remote import EntityStrings
from serving.decision.clock import Clock
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.errors import LedgerUnavailable
from serving.ledger.event_bodies import Effect
from serving.messages import Recorded
from serving.redis_store.messages import EventHeader, StringAppend
from serving.redis_store.state import RedisState
from serving.redis_store.stream_lookup import unrecorded_content
from serving.state.feedback import FeedbackResult, event_of, unknown_transaction
from serving.state.foldable import UNFOLDABLE, CannotFold, ReportStep, reason_of, step_of
from serving.state.label_precedence import EarlierReport, Original, effects_of
from serving.state.outcomes import LabelReport, OutcomeReport

#: Attempts of one report against concurrent reports about the same payment.
MAX_ATTEMPTS = 50


_reports_decoder = msgspec.json.Decoder(list[EarlierReport])


class RedisFeedback:
    """Takes outcomes and labels for a state that many workers share (a `Feedback` of serving/engine/protocols.py)."""

    def __init__(self, state: RedisState, strings: EntityStrings, clock: Clock, lookup: LedgerLookup) -> None:
        self.state = state
        self.strings = strings
        self.clock = clock
        self.lookup = lookup

    async def take_outcome(self, report: OutcomeReport) -> FeedbackResult:
        """Record what the issuer did; a repeated outcome changes nothing.

        Raises: UnknownTransaction, CannotFold, LedgerUnavailable.
        """
        one = EarlierReport("outcome", report.outcome, None, report.event_time_ms)
        return await self._take(report.transaction_id, one, None)

    async def take_label(self, report: LabelReport, verdict_seq: int | None = None) -> FeedbackResult:
        """Record a label; a repeated one changes nothing, of two that disagree the later reported wins.

        Raises: UnknownTransaction, CannotFold, LedgerUnavailable, Conflict if a later report says otherwise.
        """
        one = EarlierReport("label", report.label, report.source, report.reported_at_ms)
        return await self._take(report.transaction_id, one, verdict_seq)

    async def _take(self, transaction_id: str, one: EarlierReport, verdict_seq: int | None) -> FeedbackResult:
        reply = Recorded(transaction_id, one.value)
        original = await self._original(transaction_id)
        for _ in range(MAX_ATTEMPTS):
            former = await self.state.reports(transaction_id)
            if former:
                known: Sequence[EarlierReport] = _reports_decoder.decode(former)
            else:
                known = await asyncio.to_thread(self.lookup.reports, transaction_id)
            effects = effects_of(one, original, known)
            if effects is None:
                return FeedbackResult(reply, True)
            if await self._record(original.payment, one, effects, verdict_seq, former, [*known, one]):
                self.clock.advance(one.reported_at_ms)
                return FeedbackResult(reply, False)
        raise LedgerUnavailable("Too many concurrent reports about one payment.", "Send the same again in a moment.")

    async def _record(
        self,
        payment: Payment,
        one: EarlierReport,
        effects: tuple[Effect, ...],
        verdict_seq: int | None,
        former: bytes,
        reports: Sequence[EarlierReport],
    ) -> bool:
        event = event_of(payment, one, effects, verdict_seq)
        step = step_of(event, self.strings.catalogue)
        assert isinstance(step, ReportStep)
        # `step.payment` is the payment as the event will be decoded, so a later fold of the ledger appends the same.
        foldings = [
            StringAppend(kind, key, tail)
            for effect in effects
            for kind, (key, tail) in self.strings.report(step.payment, effect.what, effect.weight).items()
        ]
        header = EventHeader(event.kind, event.transaction_id, event.event_time_ms, event.arrival_time_ms)
        done = await self.state.report(header, event.body, former, msgspec.json.encode(reports), foldings)
        if done is None:
            raise LedgerUnavailable(
                "The stream holds as many unrecorded events as RISKGATE_STREAM_LIMIT allows.",
                "Send the same again when the recorder has drained it.",
            )
        return done

    async def _original(self, transaction_id: str) -> Original:
        content = await unrecorded_content(self.state, transaction_id)
        if content is not None:
            try:
                return Original(stored_payment(content), None, 0, None)
            except UNFOLDABLE as error:
                raise CannotFold(reason_of(error), "transaction_id") from error
        found = await asyncio.to_thread(self.lookup.original, transaction_id)
        if found is None:
            raise unknown_transaction(transaction_id)
        return found
