"""Decisions that were told before Redis took them: recorded as soon as it does, each once.

A caller gets its answer within the deadline whatever Redis does. What could not be recorded then waits
here, in the order in which it was decided; a payment that Redis has admitted after all is found by its
idempotency record, one that it has not is admitted now.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from features.domain.payment import Payment
from features.state.remote import Entry
from serving.decision.decider import Decided
from serving.decision.receipt import Receipt
from serving.errors import StateUnavailable
from serving.redis_store.idempotency_record import Record, strings_at
from serving.redis_store.messages import END, Admission, Outline, Strings, Together
from serving.redis_store.state import PATIENCE_NS, RedisState, within

log = logging.getLogger("riskgate.settling")

#: More than these are not kept: their callers have an answer that names no receipt.
MOST = 20_000
TRY_AGAIN_SECONDS = 0.1


class Unsettled(msgspec.Struct, frozen=True):
    """A decision to record; `payment_id` is its place in the stream if the payment is known to be admitted."""

    payment: Payment
    content: bytes
    digest: bytes
    entry: Entry
    decided: Decided
    arrival_ms: int
    payment_id: bytes = b""


class DecisionBody(msgspec.Struct, frozen=True):
    """The body of a `decision` event; `payment_id` is the stream id of the payment it is about."""

    receipt: Receipt
    answer: msgspec.Raw
    payment_id: str


Receipted = Callable[[Unsettled, Strings | None], Receipt]

_encoder = msgspec.json.Encoder()


async def admit_decided(state: RedisState, one: Unsettled, deadline_ns: int) -> Admission:
    """Admit a payment and record its decision in one trip; what became of it.

    Raises: StateUnavailable.
    """
    return await state.admit_decided(_together(one), deadline_ns)


def call_admit_decided(state: RedisState, one: Unsettled, deadline_ns: int) -> asyncio.Future[Any]:
    """Begin the same where one script does it: the future has Redis's reply, as `RedisState.call_admit_decided`."""
    return state.call_admit_decided(_together(one), deadline_ns)


async def record_decision(state: RedisState, one: Unsettled, payment_id: bytes, deadline_ns: int) -> Record | None:
    """Record a decision; the record of the payment if another decided first.

    Raises: StateUnavailable.
    """
    body, case, outline = _words(one, payment_id.decode())
    return await state.decide(outline, one.digest, payment_id, body, one.decided.answer, case, deadline_ns)


def _together(one: Unsettled) -> Together:
    body, case, outline = _words(one, "")
    unfinished = body.removesuffix(END)
    assert len(unfinished) + len(END) == len(body)
    return Together(outline, one.entry, one.content, one.digest, unfinished, one.decided.answer, case)


def _words(one: Unsettled, payment_id: str) -> tuple[bytes, bytes, Outline]:
    decided = one.decided
    body = _encoder.encode(DecisionBody(decided.receipt, msgspec.Raw(decided.answer), payment_id))
    case = b"" if decided.case is None else _encoder.encode(decided.case)
    return body, case, Outline("decision", one.payment.transaction_id, one.payment.event_time_ms, one.arrival_ms)


class Settling:
    """The decisions of this process that Redis has not acknowledged."""

    def __init__(self, state: RedisState, receipted: Receipted) -> None:
        self.state = state
        self._receipted = receipted
        self._open: OrderedDict[str, Unsettled] = OrderedDict()
        self._added = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._open)

    def known(self, transaction_id: str) -> Unsettled | None:
        """The decision about that payment, if it waits here."""
        return self._open.get(transaction_id)

    def add(self, one: Unsettled) -> None:
        """Keep a decision until it is recorded."""
        if len(self._open) >= MOST:
            self.dropped += 1
            return
        self._open.setdefault(one.payment.transaction_id, one)
        self._added.set()

    async def follow(self) -> None:
        """Run for ever: record what waits whenever Redis works."""
        while True:
            await self._added.wait()
            while self._open:
                if not self.state.works or not await self.settle():
                    await asyncio.sleep(TRY_AGAIN_SECONDS)
            self._added.clear()

    async def settle(self) -> bool:
        """Record the decision that waits longest; whether it is done with."""
        name, one = next(iter(self._open.items()))
        try:
            done = await self._settle(one)
        except StateUnavailable as error:
            log.info("%d decisions wait for Redis: %s", len(self._open), error)
            return False
        if done:
            self._open.pop(name, None)
        return done

    async def _settle(self, one: Unsettled) -> bool:
        if one.payment_id:
            await record_decision(self.state, one, one.payment_id, within())
            return True
        due_ms = one.arrival_ms + PATIENCE_NS // 1_000_000
        admitted = await self.state.admit(
            one.payment, one.entry, one.content, one.digest, due_ms, one.arrival_ms, within()
        )
        if admitted.full:
            return False
        payment_id, strings = admitted.payment_id, None if admitted.known else admitted.strings
        if admitted.known is not None:
            if admitted.known.answered or admitted.known.digest != one.digest:
                return True
            payment_id = admitted.known.payment_id
            try:
                strings = strings_at(one.entry, await self.state.read(one.entry, within()), admitted.known)
            except LookupError:
                log.info("payment %s was folded in, and its place is not known any more", one.payment.transaction_id)
        receipt = self._receipted(one, strings)
        decided = msgspec.structs.replace(one.decided, receipt=receipt)
        await record_decision(self.state, msgspec.structs.replace(one, decided=decided), payment_id, within())
        return True
