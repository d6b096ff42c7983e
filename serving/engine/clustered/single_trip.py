"""The way of a payment that is shed to its amount: decided at once, admitted and recorded in one trip.

What was seen of its past is neither asked for nor told. Past saturation most payments go this way, so the plain ones
need no task: the reply of Redis ends them. What turns out not to be plain (a retry, a full stream, a Redis that
has lost its scripts) goes on in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from serving.decision.clock import Clock
from serving.decision.decider import Decider, Moments
from serving.engine.clustered.claim import Claim, nothing
from serving.engine.clustered.outbox import Unsettled, admit_decided, call_admit_decided
from serving.engine.embedded.engine import Scored
from serving.errors import StateUnavailable
from serving.redis_store.idempotency_record import Record
from serving.redis_store.state import RedisState

#: Hears the answer of a payment, or why there is none.
Tell = Callable[[Scored | Exception], None]


class Host(Protocol):
    """What a payment that is shed to its amount asks of the engine."""

    state: RedisState
    decider: Decider
    clock: Clock
    now_ns: Callable[[], int]

    async def again(self, claim: Claim, known: Record, moments: Moments, explain_approved: bool) -> Scored:
        """The answer of a payment that Redis knows."""
        ...

    def full(self, claim: Claim) -> Scored:
        """The answer while the stream takes nothing more."""
        ...

    def later(self, unsettled: Unsettled) -> Scored:
        """The answer of a decision that is recorded once Redis takes it."""
        ...

    def say(self, what: str, error: StateUnavailable) -> None:
        """Log what is wrong, now and then."""
        ...


class AtOnce:
    """Decides by amount and records that, each in one trip."""

    def __init__(self, engine: Host) -> None:
        self.engine = engine
        self._going_on: set[asyncio.Task[None]] = set()

    async def answer(self, claim: Claim, moments: Moments, explain_approved: bool) -> Scored:
        """Decide and record."""
        one = self._decided(claim, moments, explain_approved)
        return await self._recorded(claim, one, moments, explain_approved)

    def begin(self, claim: Claim, moments: Moments, tell: Tell) -> None:
        """Decide, and let the reply of Redis tell the answer."""
        one = self._decided(claim, moments, False)
        call = call_admit_decided(self.engine.state, one, moments.deadline_ns)
        call.add_done_callback(partial(self._heard, claim, one, moments, tell))

    def _heard(self, claim: Claim, one: Unsettled, moments: Moments, tell: Tell, call: asyncio.Future[Any]) -> None:
        error = call.exception()
        if isinstance(error, StateUnavailable):
            tell(self._later(one, error))
        elif error is None and type(reply := call.result()) is list and len(reply) == 2:
            tell(_answer_of(one))
        else:  # doing it again tells
            task = asyncio.get_running_loop().create_task(self._go_on(claim, one, moments, tell))
            self._going_on.add(task)
            task.add_done_callback(self._going_on.discard)

    async def _go_on(self, claim: Claim, one: Unsettled, moments: Moments, tell: Tell) -> None:
        try:
            scored: Scored | Exception = await self._recorded(claim, one, moments, False)
        except Exception as error:
            scored = error
        tell(scored)

    def _decided(self, claim: Claim, moments: Moments, explain_approved: bool) -> Unsettled:
        engine, reading = self.engine, nothing(("features", "model"))
        decided = engine.decider.decide(
            claim.payment, reading, moments, engine.now_ns, explain_approved=explain_approved
        )
        engine.clock.advance(claim.payment.event_time_ms)
        return Unsettled(claim.payment, claim.content, claim.digest, claim.entry, decided, moments.arrival_ms)

    async def _recorded(self, claim: Claim, one: Unsettled, moments: Moments, explain_approved: bool) -> Scored:
        try:
            admitted = await admit_decided(self.engine.state, one, moments.deadline_ns)
        except StateUnavailable as error:
            return self._later(one, error)
        if admitted.known is not None:
            return await self.engine.again(claim, admitted.known, moments, explain_approved)
        if admitted.full:
            return self.engine.full(claim)
        return _answer_of(one)

    def _later(self, one: Unsettled, error: StateUnavailable) -> Scored:
        self.engine.say("decisions are told before they are recorded", error)
        return self.engine.later(one)


def _answer_of(one: Unsettled) -> Scored:
    return Scored(one.decided.answer, False, None, one.decided.judgement.decision.word, one.decided.tier)
