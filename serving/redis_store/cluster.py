"""The trips of a payment in a Redis Cluster, where a script sees one slot: the same steps, one after the other.

A worker may die between any two of them. What it had begun is continued by the retry of the payment: the
idempotency record is claimed first, an event is appended only if the string does not end in it already
(it carries a tag of its transaction), and the payment enters the stream when all strings have it. Order is
kept for each entity: positions in the receipt are its own. Between entities there is none, so `verify`
compares vectors of a cluster only for payments that no other overtook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from features.domain.payment import Payment
from features.intake.parse import stored_payment
from features.state.remote import Entry
from serving.errors import StateUnavailable
from serving.redis_store.idempotency_record import (
    PENDING,
    Record,
    answered_record,
    mark_of,
    pending_record,
    read_record,
)
from serving.redis_store.messages import FULL, Admission, Folding, Outline, Strings, Together, placed
from serving.redis_store.scripts import APPEND, APPEND_IF_THERE, EXCHANGE, EXCHANGE_UNANSWERED
from serving.redis_store.state import RedisState, checked, within


class ClusterState(RedisState):
    """As `RedisState`, for servers that share the keys by their slots."""

    one_trip = False

    async def admit(
        self, payment: Payment, entry: Entry, content: bytes, digest: bytes, due_ms: int, arrival_ms: int,
        deadline_ns: int,
    ) -> Admission:  # fmt: skip
        """Claim a payment, read its entities' strings and append it to them, then to the stream.

        Raises: StateUnavailable; then some of it may have happened, and admitting again continues.
        """
        name = self.keys.transaction(payment.transaction_id)
        claim = pending_record(digest, due_ms, [], b"")
        known, waiting = await asyncio.gather(
            self._run(EXCHANGE, (name,), (b"", claim, self._keep), deadline_ns),
            self.wire.call(("XLEN", self.keys.events), deadline_ns),
        )
        if known is not None:
            record = read_record(known)
            begun = not record.answered and not record.payment_id
            if not begun or record.digest != digest or arrival_ms < record.due_ms:
                return Admission(record, b"", [])
            # Its worker died on the way: of those who see that, one goes on.
            if await self._run(EXCHANGE, (name,), (known, claim, self._keep), deadline_ns) is not None:
                return Admission(record, b"", [])
        elif checked(waiting) >= int(self._limit):
            await self.wire.call(("DEL", name), deadline_ns)
            return FULL
        before = await asyncio.gather(
            *[
                self._run(APPEND, (self.keys.entity(kind, key),), (event,), deadline_ns)
                for kind, (key, event) in enumerate(zip(entry.keys, entry.events, strict=True))
                if key is not None
            ]
        )
        strings: Strings = [one or None for one in before]
        outline = Outline("payment", payment.transaction_id, payment.event_time_ms, arrival_ms)
        payment_id = await self._add(outline, content, deadline_ns)
        record_now = pending_record(digest, due_ms, [mark_of(one) for one in strings], payment_id)
        await self._run(EXCHANGE, (name,), (claim, record_now, self._keep), deadline_ns)
        return Admission(None, payment_id, placed(entry, strings))

    async def decide(
        self, outline: Outline, digest: bytes, payment_id: bytes, body: bytes, answer: bytes, case: bytes,
        deadline_ns: int,
    ) -> Record | None:  # fmt: skip
        """Record a decision, then let retries have its answer; the record if another decided first.

        The ledger keeps the first decision about a payment, should a worker die between the two steps.
        Raises: StateUnavailable.
        """
        name = self.keys.transaction(outline.transaction_id)
        known = checked(await self.wire.call(("GET", name), deadline_ns))
        if known is not None and known[:1] != PENDING:
            return read_record(known)
        decision_id = await self._add(outline, body, deadline_ns, case)
        answered = answered_record(digest, payment_id, decision_id, answer)
        other = await self._run(EXCHANGE_UNANSWERED, (name,), (answered, self._keep), deadline_ns)
        return None if other is None else read_record(other)

    async def admit_decided(self, one: Together, deadline_ns: int) -> Admission:
        """Admit a payment, then record its decision: in a cluster these are steps anyway.

        Raises: StateUnavailable.
        """
        payment, arrival_ms = stored_payment(one.content), one.outline.arrival_time_ms
        due_ms = arrival_ms + payment.deadline_ms
        admitted = await self.admit(payment, one.entry, one.content, one.digest, due_ms, arrival_ms, deadline_ns)
        if admitted.known is not None or admitted.full:
            return admitted
        payment_id = admitted.payment_id
        body = one.body(payment_id)
        known = await self.decide(one.outline, one.digest, payment_id, body, one.answer, one.case, deadline_ns)
        return admitted if known is None else Admission(known, b"", [])

    async def report(
        self, outline: Outline, body: bytes, former: bytes, reports: bytes, foldings: Sequence[Folding]
    ) -> bool | None:
        """Exchange the reports of a payment, then fold what they change into its entities and record the event.

        Raises: StateUnavailable; what was begun is taken back if Redis lets us.
        """
        if not self.trusted:
            raise StateUnavailable("The state is being built anew.", "Send the same again in a moment.")
        if checked(await self.wire.call(("XLEN", self.keys.events), within())) >= int(self._limit):
            return None
        name = self.keys.reports(outline.transaction_id)
        if await self._run(EXCHANGE, (name,), (former, reports, self._keep), within()) is not None:
            return False
        await asyncio.gather(
            *[
                self._run(APPEND_IF_THERE, (self.keys.entity(one.kind, one.key),), (one.event,), within())
                for one in foldings
            ]
        )
        await self._add(outline, body, within())
        return True

    async def read(self, entry: Entry, deadline_ns: int) -> Strings:
        """The strings of a payment's entities, without a trace."""
        calls = [
            self.wire.call(("GET", self.keys.entity(kind, key)), deadline_ns)
            for kind, key in enumerate(entry.keys)
            if key is not None
        ]
        return placed(entry, [checked(reply) for reply in await asyncio.gather(*calls)])

    async def _add(self, outline: Outline, body: bytes, deadline_ns: int, case: bytes = b"") -> bytes:
        fields: tuple[Any, ...] = (
            "k", outline.kind, "t", outline.transaction_id, "e", str(outline.event_time_ms),
            "a", str(outline.arrival_time_ms), "b", body, *(("c", case) if case else ()),
        )  # fmt: skip
        stream_id: bytes = checked(await self.wire.call(("XADD", self.keys.events, "*", *fields), deadline_ns))
        return stream_id
