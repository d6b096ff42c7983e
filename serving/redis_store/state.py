"""Online state, idempotency and the event stream in one Redis: each step of a payment is one script, one trip."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from features.domain.payment import Payment
from features.state.remote import Entry
from serving.errors import StateUnavailable
from serving.redis_store.cluster_connection import ClusterWires
from serving.redis_store.connection import ReplyError, Wire
from serving.redis_store.idempotency_record import Record, due_bytes, read_record
from serving.redis_store.keys import Keys
from serving.redis_store.messages import FULL, Admission, Folding, Outline, Strings, Together, placed
from serving.redis_store.scripts import ADMIT, ADMIT_DECIDED, COMPACT, DECIDE, EXCHANGE, REPORT, SCRIPTS, Script

#: How long what is not a payment waits for Redis.
PATIENCE_NS = 2_000_000_000
A_LONG_TIME = 10 * 366 * 86_400


def within(seconds_ns: int = PATIENCE_NS) -> int:
    """A deadline so long from now, monotonic ns."""
    return time.perf_counter_ns() + seconds_ns


class RedisState:
    """The trips of a payment to one Redis; reads and writes what the keys module names."""

    #: Whether a payment is admitted and recorded by one script.
    one_trip = True

    def __init__(self, wire: Wire | ClusterWires, keys: Keys, *, keep_seconds: int, stream_limit: int) -> None:
        self.wire = wire
        self.keys = keys
        self._keep = str(keep_seconds)
        self._limit = str(stream_limit)
        #: Whether Redis holds the state of this catalogue; else nothing is folded into it.
        self.trusted = True
        wire.greeting += [("SCRIPT", "LOAD", script.text) for script in SCRIPTS]

    @property
    def works(self) -> bool:
        """Whether a call just now has a chance to be answered soon."""
        return self.trusted and self.wire.works

    @property
    def late(self) -> bool:
        """Whether payments wait for Redis longer than they should."""
        return self.wire.late

    def expect(self, contract: bytes) -> None:
        """Trust a Redis that comes back only if it still holds the state of this catalogue.

        A cluster is looked at by the worker once a second instead: its mark lies on one node only.
        """

        def heard(found: Any) -> None:
            self.trusted = found == contract

        if isinstance(self.wire, Wire):
            self.wire.question, self.wire.heard = ("GET", self.keys.contract), heard

    async def open(self) -> None:
        """Connect.

        Raises: StateUnavailable.
        """
        await self.wire.open()

    def close(self) -> None:
        """Close the connection."""
        self.wire.close()

    # -- payments ------------------------------------------------------------------------------

    async def admit(
        self, payment: Payment, entry: Entry, content: bytes, digest: bytes, due_ms: int, arrival_ms: int,
        deadline_ns: int,
    ) -> Admission:  # fmt: skip
        """Claim a payment, read its entities' strings and append it to them and to the stream, all or nothing.

        Raises: StateUnavailable; then it may or may not have happened, and admitting again tells.
        """
        keys = self._names(entry)
        reply = await self._run(
            ADMIT, (self.keys.transaction(payment.transaction_id), self.keys.events, *keys),
            (
                digest, due_bytes(due_ms), self._keep, self._limit, payment.transaction_id,
                str(payment.event_time_ms), str(arrival_ms), content,
                *[event for event in entry.events if event is not None],
            ),
            deadline_ns,
        )  # fmt: skip
        if reply[0] is not None:
            return Admission(read_record(reply[0]), b"", [])
        if len(reply) == 1:
            return FULL
        return Admission(None, reply[1], placed(entry, reply[2:]))

    async def decide(
        self, outline: Outline, digest: bytes, payment_id: bytes, body: bytes, answer: bytes, case: bytes,
        deadline_ns: int,
    ) -> Record | None:  # fmt: skip
        """Record a decision and let retries have its answer; the record if another decided first.

        Raises: StateUnavailable; then it may or may not have happened, and doing it again tells.
        """
        known = await self._run(
            DECIDE, (self.keys.transaction(outline.transaction_id), self.keys.events),
            (
                digest, payment_id, self._keep, answer, outline.transaction_id, str(outline.event_time_ms),
                str(outline.arrival_time_ms), body, case,
            ),
            deadline_ns,
        )  # fmt: skip
        return None if known is None else read_record(known)

    async def admit_decided(self, one: Together, deadline_ns: int) -> Admission:
        """Admit a payment together with its decision, which looks at no state; no strings come back.

        Raises: StateUnavailable; then it may or may not have happened, and doing it again tells.
        """
        reply = await self._run(ADMIT_DECIDED, *self._words(one), deadline_ns)
        if reply[0] is not None:
            return Admission(read_record(reply[0]), b"", [])
        return FULL if len(reply) == 1 else Admission(None, reply[1], [])

    def call_admit_decided(self, one: Together, deadline_ns: int) -> asyncio.Future[Any]:
        """Begin the same; Redis's reply is a list of two when it is done, anything else is for `admit_decided`."""
        return self._call(ADMIT_DECIDED, *self._words(one), deadline_ns)

    def _words(self, one: Together) -> tuple[list[bytes], tuple[Any, ...]]:
        outline, entry = one.outline, one.entry
        keys = [self.keys.transaction(outline.transaction_id), self.keys.events, *self._names(entry)]
        events = [event for event in entry.events if event is not None]
        return keys, (
            one.digest, self._keep, self._limit, outline.transaction_id, str(outline.event_time_ms),
            str(outline.arrival_time_ms), one.content, one.unfinished, one.answer, one.case, *events,
        )  # fmt: skip

    def compact(self, kind: int, key: str, former: bytes, keep_from: int, string: bytes) -> None:
        """Replace the record and the events of a string before `keep_from` by a new one; nobody waits for it."""
        future = self.wire.call(
            ("EVALSHA", COMPACT.sha, "1", self.keys.entity(kind, key), former, str(keep_from), string), within()
        )
        future.add_done_callback(_heard)

    async def read(self, entry: Entry, deadline_ns: int) -> Strings:
        """The strings of a payment's entities, without a trace."""
        keys = self._names(entry)
        return placed(entry, checked(await self.wire.call(("MGET", *keys), deadline_ns)))

    async def record(self, transaction_id: str, deadline_ns: int) -> Record | None:
        """What is known of a payment."""
        raw = checked(await self.wire.call(("GET", self.keys.transaction(transaction_id)), deadline_ns))
        return None if raw is None else read_record(raw)

    # -- reports and other events --------------------------------------------------------------

    async def reports(self, transaction_id: str) -> bytes:
        """What was reported about a payment of late; empty: nothing."""
        return checked(await self.wire.call(("GET", self.keys.reports(transaction_id)), within())) or b""

    async def report(
        self, outline: Outline, body: bytes, former: bytes, reports: bytes, foldings: Sequence[Folding]
    ) -> bool | None:
        """Exchange the reports of a payment, fold what they change into its entities and record the event.

        False when the reports were no longer `former`; None when the stream is full.
        Raises: StateUnavailable.
        """
        if not self.trusted:
            raise StateUnavailable("The state is being built anew.", "Send the same again in a moment.")
        keys = [self.keys.entity(one.kind, one.key) for one in foldings]
        reply = await self._run(
            REPORT, (self.keys.reports(outline.transaction_id), self.keys.events, *keys),
            (
                former, reports, self._keep, self._limit, outline.kind, outline.transaction_id,
                str(outline.event_time_ms), str(outline.arrival_time_ms), body, *[one.event for one in foldings],
            ),
            within(),
        )  # fmt: skip
        return None if reply[0] == 2 else bool(reply[0])

    async def event(self, stream_id: bytes) -> dict[bytes, bytes] | None:
        """The fields of an event of the stream; None when it was trimmed away."""
        found = checked(await self.wire.call(("XRANGE", self.keys.events, stream_id, stream_id), within()))
        return dict(zip(found[0][1][::2], found[0][1][1::2], strict=True)) if found else None

    async def append(self, outline: Outline, body: bytes) -> bytes:
        """Record an event that changes no string; its id."""
        fields = (
            "k", outline.kind, "t", outline.transaction_id, "e", str(outline.event_time_ms),
            "a", str(outline.arrival_time_ms), "b", body,
        )  # fmt: skip
        stream_id: bytes = checked(await self.wire.call(("XADD", self.keys.events, "*", *fields), within()))
        return stream_id

    async def get(self, key: bytes) -> bytes | None:
        """A plain value."""
        value: bytes | None = checked(await self.wire.call(("GET", key), within()))
        return value

    async def exchange(self, key: bytes, former: bytes, value: bytes, seconds: int = A_LONG_TIME) -> bytes | None:
        """Set a value if it is still the former one (empty: absent); what it is instead."""
        found: bytes | None = await self._run(EXCHANGE, (key,), (former, value, str(seconds)), within())
        return found

    async def delete(self, key: bytes) -> None:
        """Forget a value."""
        checked(await self.wire.call(("DEL", key), within()))

    def _names(self, entry: Entry) -> list[bytes]:
        """The keys of the entities that were sent."""
        return [self.keys.entity(kind, key) for kind, key in enumerate(entry.keys) if key is not None]

    async def _run(self, script: Script, keys: Sequence[bytes], values: Sequence[Any], deadline_ns: int) -> Any:
        reply = await self._call(script, keys, values, deadline_ns)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            checked(await self.wire.call(("SCRIPT", "LOAD", script.text), deadline_ns))
            reply = await self._call(script, keys, values, deadline_ns)
        return checked(reply)

    def _call(
        self, script: Script, keys: Sequence[bytes], values: Sequence[Any], deadline_ns: int
    ) -> asyncio.Future[Any]:
        return self.wire.call(("EVALSHA", script.sha, str(len(keys)), *keys, *values), deadline_ns)


def checked(reply: Any) -> Any:
    """The reply, unless Redis refused.

    Raises: StateUnavailable with what Redis said.
    """
    if isinstance(reply, ReplyError):
        raise StateUnavailable(f"Redis refuses: {reply}", _repair_of(str(reply)))
    return reply


def _repair_of(said: str) -> str:
    if said.startswith("OOM"):
        return "Raise its maxmemory, or let the recorder drain the stream."
    if said.startswith("MISCONF"):
        return "Make room on the disk of Redis."
    if said.startswith(("READONLY", "LOADING", "MASTERDOWN")):
        return "Wait for it, or point RISKGATE_REDIS_URL at the server that takes writes."
    return "Look at the log of Redis."


def _heard(future: Any) -> None:
    # Compaction only saves room; the next payment of the entity tries again.
    if not future.cancelled():
        future.exception()
