"""Retries: replays the answer of a known payment, or takes it over from a worker that does not finish it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from features.domain.payment import Payment
from features.intake.parse import stored_payment
from serving.decision.clock import Clock
from serving.decision.decider import Timings
from serving.engine.clustered.claim import Claim, answer_from_ledger, differs_from, replay_of
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.engine.retry_identity import fields_that_differ, warned
from serving.engine.scored import Scored, taken_undecided
from serving.errors import Conflict, LedgerUnavailable, StateUnavailable
from serving.redis_store.idempotency_record import NEVER_DUE_MS, IdempotencyRecord, strings_at
from serving.redis_store.messages import Strings
from serving.redis_store.state import RedisState
from serving.redis_store.stream_lookup import unrecorded_content

log = logging.getLogger("riskgate.engine")

#: Interval at which the record of a payment that another worker decides is read again.
POLL_SECONDS = 0.004


class RetryHost(Protocol):
    """What a retry needs of the engine."""

    state: RedisState
    lookup: LedgerLookup
    clock: Clock
    now_ns: Callable[[], int]

    def claim(self, payment: Payment, content: bytes, best_tier: str) -> Claim:
        """A payment with its canonical bytes, ready for Redis."""

    def without_stream(self, claim: Claim) -> Scored:
        """The answer by amount of a payment that cannot be recorded."""

    def without_state(self, claim: Claim, timings: Timings, explain_approved: bool) -> Scored:
        """The answer while Redis cannot be read."""

    async def decide(
        self, claim: Claim, payment_id: bytes, strings: Strings, timings: Timings, explain_approved: bool
    ) -> Scored:
        """Decide a payment that is admitted."""


class Retries:
    """Answers payments whose transaction is known."""

    def __init__(self, engine: RetryHost) -> None:
        self.engine = engine

    async def answer(self, claim: Claim, known: IdempotencyRecord, timings: Timings, explain_approved: bool) -> Scored:
        """Replay the answer; wait for the worker that decides the payment, and take over when that is late."""
        engine, payment = self.engine, claim.payment
        if known.due_ms == NEVER_DUE_MS:
            raise taken_undecided(payment.transaction_id)
        while not known.answered and time.time_ns() // 1_000_000 < known.due_ms:
            differs_from(claim, known.digest)
            if engine.now_ns() + POLL_SECONDS * 1e9 >= timings.deadline_ns:
                break
            await asyncio.sleep(POLL_SECONDS)
            try:
                found = await engine.state.record(payment.transaction_id, timings.deadline_ns)
            except StateUnavailable:
                return engine.without_state(claim, timings, explain_approved)
            if found is None:
                break
            known = found
        if known.answered:
            return await self._replay(claim, known)
        if differs_from(claim, known.digest):
            return await self._take_over_with_its_own_content(claim, known, timings, explain_approved)
        return await self._take_over(claim, known, timings, explain_approved)

    async def _replay(self, claim: Claim, known: IdempotencyRecord) -> Scored:
        """The recorded answer; a conflict reads the payment that was admitted, to name what differs.

        A retry that differs outside its identity reads nothing more: callers stamp every retry with its own time.
        """
        try:
            return replay_of(claim, known)
        except Conflict:
            content = await self._admitted(claim.payment.transaction_id)
            if content is None:
                raise
            return replay_of(claim, known, content)

    async def _admitted(self, name: str) -> bytes | None:
        """A payment as it was admitted: from the stream, or from the ledger; None if neither can be read."""
        with contextlib.suppress(StateUnavailable, LedgerUnavailable):
            return await unrecorded_content(self.engine.state, name) or await asyncio.to_thread(
                self.engine.lookup.content, name
            )
        return None

    async def _take_over_with_its_own_content(
        self, claim: Claim, known: IdempotencyRecord, timings: Timings, explain_approved: bool
    ) -> Scored:
        """Decide what was admitted: the state holds it, and not what the retry sent."""
        engine = self.engine
        content = await self._admitted(claim.payment.transaction_id)
        if content is None:  # begun by a worker that died before it was admitted: nobody can decide it as it was
            return engine.without_stream(claim)
        own = engine.claim(stored_payment(content), content, claim.best_tier)
        scored = await self._take_over(own, known, timings, explain_approved)
        return msgspec.structs.replace(scored, answer=warned(scored.answer, fields_that_differ(claim.content, content)))

    async def _take_over(
        self, claim: Claim, known: IdempotencyRecord, timings: Timings, explain_approved: bool
    ) -> Scored:
        """Decide a payment that is admitted, in place of the worker that did not."""
        engine, payment = self.engine, claim.payment
        try:
            now = await engine.state.read(claim.entry, timings.deadline_ns)
            strings = strings_at(claim.entry, now, known)
        except StateUnavailable:
            return engine.without_state(claim, timings, explain_approved)
        except LookupError:
            log.warning("payment %s is taken over without features: its state was compacted", payment.transaction_id)
            strings = [b"\0"] * len(claim.entry.keys)  # not readable: decided by amount
        return await engine.decide(claim, known.payment_id, strings, timings, explain_approved)

    async def answer_or_refuse(self, claim: Claim, timings: Timings, explain_approved: bool) -> Scored:
        """Answer a payment outside the clock's window if it was decided before.

        Raises: Conflict; Refused for an unknown one.
        """
        known = None
        with contextlib.suppress(StateUnavailable):
            known = await self.engine.state.record(claim.payment.transaction_id, timings.deadline_ns)
        if known is None:  # expired in Redis, but still in PostgreSQL
            return await answer_from_ledger(claim, self.engine.lookup, self.engine.clock.now_ms())
        return await self.answer(claim, known, timings, explain_approved)
