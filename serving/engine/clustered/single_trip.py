"""Payments that are shed to the lowest tier: decided by amount, then admitted and recorded in one round trip.

No state is read. Past saturation most payments are shed, so the ordinary case needs no task: the callback on Redis's
reply answers it. A retry, a full stream or a Redis that has lost its scripts continues in a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from serving.decision.clock import Clock
from serving.decision.decider import Decider, Timings
from serving.engine.clustered.claim import Claim, empty_reading, scored_from
from serving.engine.clustered.outbox.journal import PendingDecision
from serving.engine.clustered.outbox.outbox import Outbox, admit_decided, call_admit_decided
from serving.engine.scored import OnScored, Scored
from serving.errors import StateUnavailable
from serving.redis_store.idempotency_record import IdempotencyRecord
from serving.redis_store.state import RedisState


class SingleTripHost(Protocol):
    """What a payment that is shed to its amount needs of the engine."""

    state: RedisState
    decider: Decider
    clock: Clock
    now_ns: Callable[[], int]
    outbox: Outbox

    async def replay(self, claim: Claim, known: IdempotencyRecord, timings: Timings, explain_approved: bool) -> Scored:
        """The answer of a payment that Redis holds."""

    def without_stream(self, claim: Claim) -> Scored:
        """The answer while the stream is full."""

    def record_later(self, pending: PendingDecision) -> Scored:
        """The answer of a decision that goes into the outbox."""

    def warn_rarely(self, what: str, error: StateUnavailable) -> None:
        """Log an outage of Redis at a limited rate."""


class SingleTrip:
    """Decides by amount; each payment takes one round trip."""

    def __init__(self, engine: SingleTripHost) -> None:
        self.engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, claim: Claim, timings: Timings, explain_approved: bool) -> Scored:
        """Decide and record."""
        one = self._decided(claim, timings, explain_approved)
        return await self._recorded(claim, one, timings, explain_approved)

    def begin(self, claim: Claim, timings: Timings, on_scored: OnScored) -> None:
        """Decide; `on_scored` gets the answer when Redis has replied."""
        one = self._decided(claim, timings, False)
        call = call_admit_decided(self.engine.state, one, timings.deadline_ns)
        call.add_done_callback(partial(self._on_reply, claim, one, timings, on_scored))

    def _on_reply(
        self, claim: Claim, one: PendingDecision, timings: Timings, on_scored: OnScored, call: asyncio.Future[Any]
    ) -> None:
        error = call.exception()
        if isinstance(error, StateUnavailable):
            on_scored(self._record_later(one, error))
        elif error is None and type(reply := call.result()) is list and len(reply) > 1 and reply[1]:
            if len(reply) == 3:
                self.engine.state.on_known(one.payment.transaction_id)
            self.engine.outbox.recent.add(one)
            on_scored(scored_from(one.decided))
        else:  # calling again is safe and finds out which case it is
            task = asyncio.get_running_loop().create_task(self._continue(claim, one, timings, on_scored))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _continue(self, claim: Claim, one: PendingDecision, timings: Timings, on_scored: OnScored) -> None:
        try:
            scored: Scored | Exception = await self._recorded(claim, one, timings, False)
        except Exception as error:
            scored = error
        on_scored(scored)

    def _decided(self, claim: Claim, timings: Timings, explain_approved: bool) -> PendingDecision:
        engine, reading = self.engine, empty_reading(("features", "model"))
        decided = engine.decider.decide(
            claim.payment, reading, timings, engine.now_ns, explain_approved=explain_approved
        )
        engine.clock.advance(claim.payment.event_time_ms)
        return PendingDecision(claim.payment, claim.content, claim.digest, claim.entry, decided, timings.arrival_ms)

    async def _recorded(self, claim: Claim, one: PendingDecision, timings: Timings, explain_approved: bool) -> Scored:
        try:
            admitted = await admit_decided(self.engine.state, one, timings.deadline_ns)
        except StateUnavailable as error:
            return self._record_later(one, error)
        if admitted.known is not None:
            return await self.engine.replay(claim, admitted.known, timings, explain_approved)
        if admitted.full:
            return self.engine.without_stream(claim)
        self.engine.outbox.recent.add(one)
        return scored_from(one.decided)

    def _record_later(self, one: PendingDecision, error: StateUnavailable) -> Scored:
        self.engine.warn_rarely("decisions are answered before they are recorded", error)
        return self.engine.record_later(one)
