"""Outcomes and labels over Redis: compared with what was reported before, folded and recorded in one script.

What was reported of late stands beside the payment's idempotency record; older reports are in PostgreSQL,
which the recorder has long brought up to date by the time Redis forgets them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from features.domain.payment import Payment
from features.intake.parse import stored_payment
from features.state.remote import EntityStrings
from serving.decision.clock import Clock
from serving.errors import LedgerUnavailable
from serving.messages import Recorded
from serving.redis_store.messages import Folding, Outline
from serving.redis_store.state import RedisState
from serving.redis_store.stream_lookup import fresh_content
from serving.state.feedback import Original, Taken, effects_of_label, effects_of_outcome, event_of, unknown_transaction
from serving.state.fold import Effect
from serving.state.foldable import UNFOLDABLE, CannotFold, Reported, reason_of, step_of
from serving.state.outcomes import LabelReport, OutcomeReport

#: Reports about one payment that come at once; each that loses looks again.
MOST_ATTEMPTS = 50


class Past(NamedTuple):
    """One report that was taken before."""

    kind: str
    value: str
    source: str | None
    reported_at_ms: int


#: What PostgreSQL and an imported history know of a payment, and of the reports about it; they may take a while.
FindOriginal = Callable[[str], Original | None]
FindReports = Callable[[str], Sequence[Past]]

_past = msgspec.json.Decoder(list[Past])


class RedisFeedback:
    """Takes outcomes and labels for a state that many workers share."""

    def __init__(
        self, state: RedisState, strings: EntityStrings, clock: Clock, original: FindOriginal, reports: FindReports
    ) -> None:
        self.state = state
        self.strings = strings
        self.clock = clock
        self._find_original = original
        self._find_reports = reports

    async def take_outcome(self, report: OutcomeReport) -> Taken:
        """Record what the issuer did; the same outcome again changes nothing.

        Raises: UnknownTransaction, CannotFold, LedgerUnavailable.
        """
        one = Past("outcome", report.outcome, None, report.event_time_ms)

        def effects(original: Original, known: Sequence[Past]) -> tuple[Effect, ...] | None:
            return effects_of_outcome(report, original, known)

        return await self._take(report.transaction_id, one, effects, None)

    async def take_label(self, report: LabelReport, verdict_seq: int | None = None) -> Taken:
        """Record a label; the same again changes nothing, of two that disagree the later reported wins.

        Raises: UnknownTransaction, CannotFold, LedgerUnavailable, Conflict if a later report says otherwise.
        """
        one = Past("label", report.label, report.source, report.reported_at_ms)

        def effects(original: Original, known: Sequence[Past]) -> tuple[Effect, ...] | None:
            return effects_of_label(report, original, known)

        return await self._take(report.transaction_id, one, effects, verdict_seq)

    async def _take(
        self,
        transaction_id: str,
        one: Past,
        effects_of: Callable[[Original, Sequence[Past]], tuple[Effect, ...] | None],
        verdict_seq: int | None,
    ) -> Taken:
        reply = Recorded(transaction_id, one.value)
        original = await self._original(transaction_id)
        for _ in range(MOST_ATTEMPTS):
            former = await self.state.reports(transaction_id)
            if former:
                known: Sequence[Past] = _past.decode(former)
            else:
                known = await asyncio.to_thread(self._find_reports, transaction_id)
            effects = effects_of(original, [other for other in known if other.kind == one.kind])
            if effects is None:
                return Taken(reply, True)
            if await self._record(original.payment, one, effects, verdict_seq, former, [*known, one]):
                self.clock.advance(one.reported_at_ms)
                return Taken(reply, False)
        raise LedgerUnavailable("Too many reports about one payment at once.", "Send the same again in a moment.")

    async def _record(
        self,
        payment: Payment,
        one: Past,
        effects: tuple[Effect, ...],
        verdict_seq: int | None,
        former: bytes,
        reports: Sequence[Past],
    ) -> bool:
        event = event_of(one.kind, payment, one.value, one.source, one.reported_at_ms, effects, verdict_seq)
        step = step_of(event, self.strings.catalogue)
        assert isinstance(step, Reported)
        # Of the payment as it will be read back: what is folded here is what any later fold makes of the event.
        foldings = [
            Folding(kind, key, tail)
            for effect in step.effects
            for kind, (key, tail) in self.strings.report(step.payment, effect.what, effect.weight).items()
        ]
        outline = Outline(event.kind, event.transaction_id, event.event_time_ms, event.arrival_time_ms)
        done = await self.state.report(outline, event.body, former, msgspec.json.encode(reports), foldings)
        if done is None:
            raise LedgerUnavailable(
                "The stream holds as many unrecorded events as RISKGATE_STREAM_LIMIT allows.",
                "Send the same again when the recorder has drained it.",
            )
        return done

    async def _original(self, transaction_id: str) -> Original:
        content = await fresh_content(self.state, transaction_id)
        if content is not None:
            try:
                return Original(stored_payment(content), None, 0, None)
            except UNFOLDABLE as error:
                raise CannotFold(reason_of(error), "transaction_id") from error
        found = await asyncio.to_thread(self._find_original, transaction_id)
        if found is None:
            raise unknown_transaction(transaction_id)
        return found
