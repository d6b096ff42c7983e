"""A payment that is known before: its answer again; taken over where the worker that admitted it does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

from serving.decision.decider import Moments
from serving.engine.clustered.claim import Claim, Past, check_content, recorded_before, same
from serving.engine.embedded.engine import Scored
from serving.errors import StateUnavailable
from serving.redis_store.idempotency_record import Record, strings_at
from serving.redis_store.messages import Strings
from serving.redis_store.state import RedisState

log = logging.getLogger("riskgate.engine")

#: How often a payment that another worker decides is looked at.
LOOK_SECONDS = 0.004


class Host(Protocol):
    """What a retry asks of the engine."""

    state: RedisState
    past: Past
    now_ns: Callable[[], int]

    def without_state(self, claim: Claim, moments: Moments, explain_approved: bool) -> Scored:
        """The answer while Redis cannot be read."""
        ...

    async def decide(
        self, claim: Claim, payment_id: bytes, strings: Strings, moments: Moments, explain_approved: bool
    ) -> Scored:
        """Decide a payment that is admitted."""
        ...


class Retries:
    """The way of a retry."""

    def __init__(self, engine: Host) -> None:
        self.engine = engine

    async def answer(self, claim: Claim, known: Record, moments: Moments, explain_approved: bool) -> Scored:
        """Replay the answer of a retry; wait for the worker that decides it, and take over when that is late."""
        engine, payment = self.engine, claim.payment
        while not known.answered and time.time_ns() // 1_000_000 < known.due_ms:
            check_content(claim, known.digest)
            if engine.now_ns() + LOOK_SECONDS * 1e9 >= moments.deadline_ns:
                break
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found = await engine.state.record(payment.transaction_id, moments.deadline_ns)
            except StateUnavailable:
                return engine.without_state(claim, moments, explain_approved)
            if found is None:
                break
            known = found
        if known.answered:
            return same(claim, known)
        check_content(claim, known.digest)
        try:
            now = await engine.state.read(claim.entry, moments.deadline_ns)
            strings = strings_at(claim.entry, now, known)
        except StateUnavailable:
            return engine.without_state(claim, moments, explain_approved)
        except LookupError:
            log.warning("payment %s is taken over too late for its features", payment.transaction_id)
            strings = [b"\0"] * len(claim.entry.keys)  # not readable: decided by amount
        return await engine.decide(claim, known.payment_id, strings, moments, explain_approved)

    async def answer_or_refuse(self, claim: Claim, moments: Moments, explain_approved: bool) -> Scored:
        """A time outside the window is refused, unless the payment was answered when its time was right."""
        known = None
        with contextlib.suppress(StateUnavailable):
            known = await self.engine.state.record(claim.payment.transaction_id, moments.deadline_ns)
        if known is None:  # what Redis has forgotten PostgreSQL still knows
            return await recorded_before(claim, self.engine.past)
        return await self.answer(claim, known, moments, explain_approved)
