"""Outbox of decisions that were answered while Redis was unavailable; each is recorded exactly once afterwards.

A caller gets its answer within the deadline whatever Redis does. A decision that could not be recorded waits here, in
the order of decisions. If Redis did admit the payment, its idempotency record says so; else it is admitted then.
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
from serving.redis_store.idempotency_record import IdempotencyRecord, strings_at
from serving.redis_store.messages import BODY_END, AdmitResult, DecidedPayment, EventHeader, Strings
from serving.redis_store.state import DEFAULT_TIMEOUT_NS, RedisState, default_deadline

log = logging.getLogger("riskgate.outbox")

#: Decisions beyond this number are dropped: their answers name no receipt.
MAX_PENDING = 20_000
RETRY_SECONDS = 0.1


class PendingDecision(msgspec.Struct, frozen=True):
    """A decision to record; `payment_id` is the stream id of the payment if it is known to be admitted."""

    payment: Payment
    content: bytes
    digest: bytes
    entry: Entry
    decided: Decided
    arrival_ms: int
    payment_id: bytes = b""


class DecisionBody(msgspec.Struct, frozen=True):
    """The body of a `decision` event; `payment_id` is the stream id of its payment."""

    receipt: Receipt
    answer: msgspec.Raw
    payment_id: str


MakeReceipt = Callable[[PendingDecision, Strings | None], Receipt]

_encoder = msgspec.json.Encoder()


async def admit_decided(state: RedisState, one: PendingDecision, deadline_ns: int) -> AdmitResult:
    """Admit a payment and record its decision in one round trip.

    Raises: StateUnavailable.
    """
    return await state.admit_decided(_decided_payment(one), deadline_ns)


def call_admit_decided(state: RedisState, one: PendingDecision, deadline_ns: int) -> asyncio.Future[Any]:
    """The same as one script call; the future gets Redis's reply (see `RedisState.call_admit_decided`)."""
    return state.call_admit_decided(_decided_payment(one), deadline_ns)


async def record_decision(
    state: RedisState, one: PendingDecision, payment_id: bytes, deadline_ns: int
) -> IdempotencyRecord | None:
    """Record a decision; returns the record of the payment if another worker decided first.

    Raises: StateUnavailable.
    """
    body, case, header = _event_of(one, payment_id.decode())
    return await state.decide(header, one.digest, payment_id, body, one.decided.answer, case, deadline_ns)


def _decided_payment(one: PendingDecision) -> DecidedPayment:
    body, case, header = _event_of(one, "")
    unfinished = body.removesuffix(BODY_END)
    assert len(unfinished) + len(BODY_END) == len(body)
    return DecidedPayment(header, one.entry, one.content, one.digest, unfinished, one.decided.answer, case)


def _event_of(one: PendingDecision, payment_id: str) -> tuple[bytes, bytes, EventHeader]:
    decided = one.decided
    body = _encoder.encode(DecisionBody(decided.receipt, msgspec.Raw(decided.answer), payment_id))
    case = b"" if decided.case is None else _encoder.encode(decided.case)
    return body, case, EventHeader("decision", one.payment.transaction_id, one.payment.event_time_ms, one.arrival_ms)


class Outbox:
    """The decisions of this process that Redis has not acknowledged."""

    def __init__(self, state: RedisState, make_receipt: MakeReceipt) -> None:
        self.state = state
        self._make_receipt = make_receipt
        self._pending: OrderedDict[str, PendingDecision] = OrderedDict()
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pending)

    def pending(self, transaction_id: str) -> PendingDecision | None:
        """The decision about that payment, if it waits in the outbox."""
        return self._pending.get(transaction_id)

    def add(self, one: PendingDecision) -> None:
        """Keep a decision until it is recorded; a full outbox drops it."""
        if len(self._pending) < MAX_PENDING:
            self._pending.setdefault(one.payment.transaction_id, one)
            self._added.set()

    async def run(self) -> None:
        """Record waiting decisions whenever Redis is available, until cancelled."""
        while True:
            await self._added.wait()
            while self._pending:
                if not self.state.works or not await self.flush_first():
                    await asyncio.sleep(RETRY_SECONDS)
            self._added.clear()

    async def flush_first(self) -> bool:
        """Record the oldest decision; returns whether it has left the outbox."""
        name, one = next(iter(self._pending.items()))
        try:
            done = await self._flush(one)
        except StateUnavailable as error:
            log.info("%d decisions wait for Redis: %s", len(self._pending), error)
            return False
        if done:
            self._pending.pop(name, None)
        return done

    async def _flush(self, one: PendingDecision) -> bool:
        if one.payment_id:
            await record_decision(self.state, one, one.payment_id, default_deadline())
            return True
        due_ms = one.arrival_ms + DEFAULT_TIMEOUT_NS // 1_000_000
        admitted = await self.state.admit(
            one.payment, one.entry, one.content, one.digest, due_ms, one.arrival_ms, default_deadline()
        )
        if admitted.full:
            return False
        payment_id, strings = admitted.payment_id, None if admitted.known else admitted.strings
        if admitted.known is not None:
            if admitted.known.answered or admitted.known.digest != one.digest:
                return True
            payment_id = admitted.known.payment_id
            try:
                strings = strings_at(one.entry, await self.state.read(one.entry, default_deadline()), admitted.known)
            except LookupError:
                log.info("payment %s is in the state, and its position is lost", one.payment.transaction_id)
        receipt = self._make_receipt(one, strings)
        decided = msgspec.structs.replace(one.decided, receipt=receipt)
        await record_decision(self.state, msgspec.structs.replace(one, decided=decided), payment_id, default_deadline())
        return True
