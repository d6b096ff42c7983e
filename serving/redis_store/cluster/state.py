"""The steps of a payment in a Redis Cluster, where a script sees one slot: the same steps, one after the other.

A worker may die between any two of them. A retry of the payment then continues: the idempotency record is claimed
first, an event is appended only if the string does not hold it already (it carries a tag of its transaction), and
the payment enters the stream when all strings have it. Order is kept for each entity: positions in the receipt are
per entity. There is no order between entities, so `verify` compares vectors of a cluster only for payments that no
other overtook.
"""

from __future__ import annotations

import asyncio

from features.domain.payment import Payment
from features.intake.parse import stored_payment
from features.state.remote import Entry
from serving.redis_store.idempotency_record import (
    PENDING,
    IdempotencyRecord,
    answered_record,
    pending_record,
    position_of,
    read_record,
)
from serving.redis_store.messages import (
    STREAM_FULL,
    AdmitResult,
    DecidedPayment,
    EventHeader,
    Strings,
    aligned,
    checked,
)
from serving.redis_store.scripts import APPEND, EXCHANGE, EXCHANGE_UNANSWERED
from serving.redis_store.state import RedisState


class ClusterState(RedisState):
    """`RedisState` for the masters of a Redis Cluster."""

    one_trip = False

    async def admit(
        self, payment: Payment, entry: Entry, content: bytes, digest: bytes, due_ms: int, arrival_ms: int,
        deadline_ns: int,
    ) -> AdmitResult:  # fmt: skip
        """Claim a payment, read its entities' strings and append it to them, then to the stream.

        Raises: StateUnavailable; then some steps may have happened: admitting again continues after them.
        """
        name = self.keys.transaction(payment.transaction_id)
        claim = pending_record(digest, due_ms, [], b"")
        known, waiting = await asyncio.gather(
            self.run_script(EXCHANGE, (name,), (b"", claim, self.keep_seconds), deadline_ns),
            self.connection.call(("XLEN", self.keys.events), deadline_ns),
        )
        if known is not None:
            record = read_record(known)
            begun = not record.answered and not record.payment_id
            if not begun or record.digest != digest or arrival_ms < record.due_ms:
                return AdmitResult(record, b"", [])
            # The worker that began it died: of the workers that see that, one continues.
            if await self.run_script(EXCHANGE, (name,), (known, claim, self.keep_seconds), deadline_ns) is not None:
                return AdmitResult(record, b"", [])
        elif checked(waiting) >= int(self.stream_limit):
            await self.connection.call(("DEL", name), deadline_ns)
            return STREAM_FULL
        before = await asyncio.gather(
            *[
                self.run_script(APPEND, (self.keys.entity(kind, key),), (event,), deadline_ns)
                for kind, (key, event) in enumerate(zip(entry.keys, entry.events, strict=True))
                if key is not None
            ]
        )
        strings: Strings = [one or None for one in before]
        header = EventHeader("payment", payment.transaction_id, payment.event_time_ms, arrival_ms)
        payment_id = await self.append(header, content, deadline_ns=deadline_ns)
        record_now = pending_record(digest, due_ms, [position_of(one) for one in strings], payment_id)
        await self.run_script(EXCHANGE, (name,), (claim, record_now, self.keep_seconds), deadline_ns)
        return AdmitResult(None, payment_id, aligned(entry, strings))

    async def decide(
        self, header: EventHeader, digest: bytes, payment_id: bytes, body: bytes, answer: bytes, case: bytes,
        deadline_ns: int,
    ) -> IdempotencyRecord | None:  # fmt: skip
        """Record a decision, then its answer for retries; returns the record if another worker decided first.

        If a worker dies between the two steps, the ledger keeps the first decision about the payment.
        Raises: StateUnavailable.
        """
        name = self.keys.transaction(header.transaction_id)
        known = checked(await self.connection.call(("GET", name), deadline_ns))
        if known is not None and known[:1] != PENDING:
            return read_record(known)
        decision_id = await self.append(header, body, case, deadline_ns)
        answered = answered_record(digest, payment_id, decision_id, answer)
        keys = (name, self.keys.waiting(header.transaction_id))
        other = await self.run_script(EXCHANGE_UNANSWERED, keys, (answered, self.keep_seconds), deadline_ns)
        return self._decided(header.transaction_id, other)

    async def admit_decided(self, one: DecidedPayment, deadline_ns: int) -> AdmitResult:
        """Admit a payment, then record its decision: two steps in a cluster.

        Raises: StateUnavailable.
        """
        payment, arrival_ms = stored_payment(one.content), one.header.arrival_time_ms
        due_ms = arrival_ms + payment.deadline_ms
        admitted = await self.admit(payment, one.entry, one.content, one.digest, due_ms, arrival_ms, deadline_ns)
        if admitted.known is not None or admitted.full:
            return admitted
        payment_id = admitted.payment_id
        body = one.body(payment_id)
        known = await self.decide(one.header, one.digest, payment_id, body, one.answer, one.case, deadline_ns)
        return admitted if known is None else AdmitResult(known, b"", [])

    async def read(self, entry: Entry, deadline_ns: int) -> Strings:
        """The strings of a payment's entities; changes nothing."""
        calls = [
            self.connection.call(("GET", self.keys.entity(kind, key)), deadline_ns)
            for kind, key in enumerate(entry.keys)
            if key is not None
        ]
        return aligned(entry, [checked(reply) for reply in await asyncio.gather(*calls)])
