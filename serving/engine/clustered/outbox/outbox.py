"""Outbox of decisions that were answered while Redis was unavailable; each is recorded exactly once afterwards.

A caller gets its answer within the deadline whatever Redis does. A decision that could not be recorded waits here, in
the order of decisions. If Redis did admit the payment, its idempotency record says so; else it is admitted then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from ulid_transform import ulid_now

from features.domain.payment import Payment
from features.state.remote import Entry
from serving.decision.receipt import Receipt
from serving.engine.clustered.outbox.journal import Journal, PendingDecision, abandoned
from serving.engine.clustered.outbox.recent import RecentDecisions
from serving.errors import LedgerUnavailable, StateUnavailable
from serving.redis_store.idempotency_record import IdempotencyRecord, strings_at
from serving.redis_store.messages import BODY_END, AdmitResult, DecidedPayment, EventHeader, Strings
from serving.redis_store.state import DEFAULT_TIMEOUT_NS, RedisState, default_deadline

log = logging.getLogger("riskgate.outbox")

#: Decisions in memory; beyond this number they are in the file alone.
MAX_PENDING = 20_000
RETRY_SECONDS = 0.1
#: Minimum time between two lines about a disk that takes nothing.
QUIET_SECONDS = 5.0


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
    """The decisions of this process that Redis has not acknowledged: in memory, and in a file from the first on.

    Beyond `MAX_PENDING` they are in the file alone. Without a file (before `keep_in`, or while the disk is full) what
    does not fit into memory is dropped, and counted.
    """

    def __init__(self, state: RedisState, make_receipt: MakeReceipt, recent: RecentDecisions) -> None:
        """`recent` are those that Redis has taken."""
        self.state, self.recent = state, recent
        self.dropped = 0
        self._make_receipt = make_receipt
        self._journal: Journal | None = None
        #: By transaction: the decision, or its place in the file.
        self._pending: OrderedDict[str, PendingDecision | int] = OrderedDict()
        self._adopted: list[Journal] = []
        self._added = asyncio.Event()
        self._quiet_until = 0.0
        self._is_recorded: Callable[[str], bool] = lambda _: False

    def keep_in(self, folder: Path, entry_of: Callable[[Payment], Entry], is_recorded: Callable[[str], bool]) -> None:
        """Keep a file in this folder, and adopt those of workers that are gone.

        `is_recorded` asks the ledger about a transaction that Redis may have forgotten.
        Raises: OSError.
        """
        self._is_recorded = is_recorded
        self._adopted = list(abandoned(folder, entry_of))
        self._journal = Journal(folder / f"{ulid_now()}.pending", entry_of)
        if self._adopted:
            self._added.set()

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, transaction_id: str) -> bool:
        return transaction_id in self._pending

    def pending(self, transaction_id: str) -> PendingDecision | None:
        """The decision about that payment, if it waits in the outbox."""
        return self._whole(self._pending.get(transaction_id))

    def _whole(self, found: PendingDecision | int | None) -> PendingDecision | None:
        if not isinstance(found, int):
            return found
        assert self._journal is not None
        try:
            return self._journal.read(found)
        except (ValueError, OSError) as error:
            log.error("a decision of the outbox cannot be read: %s", error)
            return None

    def add(self, one: PendingDecision) -> None:
        """Keep a decision until it is recorded."""
        name = one.payment.transaction_id
        if name in self._pending:
            return
        place = self._write(one)
        if len(self._pending) < MAX_PENDING:
            self._pending[name] = one
        elif place is not None:
            self._pending[name] = place
        else:
            self.dropped += 1
            return
        self._added.set()

    def record_again(self) -> None:
        """Redis may have lost its newest events: record the decisions of the last seconds again."""
        for one in self.recent.take():
            self.add(one)

    def _write(self, one: PendingDecision) -> int | None:
        if self._journal is None:
            return None
        try:
            return self._journal.append(one)
        except OSError as error:
            if time.monotonic() >= self._quiet_until:
                self._quiet_until = time.monotonic() + QUIET_SECONDS
                log.error(
                    "decisions that wait for Redis are kept in memory only, at most %d of them: %s cannot be written "
                    "(%s). Make room on its disk.", MAX_PENDING, self._journal.path.name, error.strerror or error,
                )  # fmt: skip
            return None

    async def run(self) -> None:
        """Record waiting decisions whenever Redis is available, until cancelled."""
        while True:
            await self._added.wait()
            while self._pending or self._adopted:
                if not self.state.works or not await (self.flush_first() if self._pending else self._flush_adopted()):
                    await asyncio.sleep(RETRY_SECONDS)
            self._added.clear()
            if self._journal is not None:
                self._journal.empty()

    async def flush_first(self) -> bool:
        """Record the oldest decision; returns whether it has left the outbox."""
        name, found = next(iter(self._pending.items()))
        one = self._whole(found)
        try:
            done = one is None or await self._flush(one)
        except StateUnavailable as error:
            log.info("%d decisions wait for Redis: %s", len(self._pending), error)
            return False
        if one is None:
            self.dropped += 1
        if done:
            self._pending.pop(name, None)
            if one is not None:
                self.recent.add(one)
        return done

    async def _flush_adopted(self) -> bool:
        """Record what a worker that is gone left behind; returns whether all of it is recorded."""
        journal, count = self._adopted[0], 0
        try:
            for one in journal.decisions():
                if await self._recorded_long_ago(one):
                    continue
                if not await self._flush(one):
                    return False
                count += 1
        except (StateUnavailable, LedgerUnavailable) as error:
            log.info("the decisions of %s wait for Redis: %s", journal.path.name, error)
            return False
        log.warning("recorded %d decisions that a worker left behind in %s", count, journal.path.name)
        journal.empty()
        journal.close()
        self._adopted.pop(0)
        return True

    async def _recorded_long_ago(self, one: PendingDecision) -> bool:
        """Whether the ledger has a decision whose record in Redis may have expired."""
        age_ms = time.time_ns() // 1_000_000 - one.arrival_ms
        if age_ms < int(self.state.keep_seconds) * 1_000:
            return False
        return await asyncio.to_thread(self._is_recorded, one.payment.transaction_id)

    def close(self) -> None:
        """Close the file; what it holds is recorded by the next worker."""
        for journal in (*self._adopted, *([] if self._journal is None else [self._journal])):
            journal.close()
        self._adopted, self._journal = [], None

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
