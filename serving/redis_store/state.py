"""Online state, idempotency and the event stream in one Redis: each step of a payment is one script, one round trip."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from features.domain.payment import Payment
from features.state.remote import Entry
from serving.errors import StateUnavailable
from serving.redis_store.cluster.connections import ClusterConnections
from serving.redis_store.connection import RedisConnection, ReplyError
from serving.redis_store.idempotency_record import IdempotencyRecord, due_bytes, read_record
from serving.redis_store.keys import Keys
from serving.redis_store.mark import Mark
from serving.redis_store.messages import (
    STREAM_FULL,
    AdmitResult,
    DecidedPayment,
    EventHeader,
    Strings,
    aligned,
    checked,
    refusal_in,
)
from serving.redis_store.scripts import ADMIT, ADMIT_DECIDED, COMPACT, DECIDE, EXCHANGE, SCRIPTS, Script

#: Timeout of calls that belong to no payment's deadline.
DEFAULT_TIMEOUT_NS = 2_000_000_000
NOT_THE_STATE = "Redis does not hold the state of this catalogue."
#: Errors of a server that takes no writes any more: the server that has its name or address now may.
_LEAVE = ("READONLY", "MASTERDOWN")
TEN_YEARS_SECONDS = 10 * 366 * 86_400


def default_deadline() -> int:
    """The deadline of a call that begins now and belongs to no payment, monotonic ns."""
    return time.perf_counter_ns() + DEFAULT_TIMEOUT_NS


class RedisState:
    """The calls of a payment to one Redis; serving/redis_store/keys.py names every key that they touch."""

    #: Whether a payment is admitted and recorded by one script.
    one_trip = True

    def __init__(
        self, connection: RedisConnection | ClusterConnections, keys: Keys, *, keep_seconds: int, stream_limit: int
    ) -> None:
        self.connection = connection
        self.keys = keys
        #: How long the record of a payment and its reports are kept, seconds; how many entries the stream takes.
        self.keep_seconds, self.stream_limit = str(keep_seconds), str(stream_limit)
        #: The mark of the state that this worker reads and folds into; empty: any.
        self.contract = b""
        self._mark: Mark | None = None
        #: Whether Redis holds the state of this catalogue; else nothing is folded into it.
        self.trusted = True
        #: What Redis last refused a call with, until it takes one; empty for nothing.
        self.refusal = ""
        #: Called when a payment is decided for which reports wait.
        self.on_known: Callable[[str], None] = lambda _: None
        #: Called when Redis turns out not to hold the state any more.
        self.on_lost: Callable[[], None] = lambda: None
        connection.setup_commands += [("SCRIPT", "LOAD", script.text) for script in SCRIPTS]

    @property
    def works(self) -> bool:
        """Whether Redis is expected to answer the next call soon."""
        return self.trusted and self.connection.works

    @property
    def late(self) -> bool:
        """Whether Redis is late with a reply to a payment."""
        return self.connection.late

    def expect(self, contract: bytes) -> None:
        """Trust Redis only while it holds the state of this catalogue: at each admission and after a reconnect.

        In a cluster only one node holds that key: there the worker checks it once a second instead.
        """
        self.contract = contract
        if isinstance(self.connection, RedisConnection):
            self._mark = Mark(self.keys, self.connection, contract, self.trust)

    def trust(self, holds_the_state: bool) -> None:
        """Read and fold from now on, or not; calls `on_lost` when Redis does not hold the state."""
        self.trusted = holds_the_state
        if not holds_the_state:
            self.on_lost()

    def distrust(self) -> StateUnavailable:
        """Stop reading and folding until the mark is back; the error for who asked for it."""
        self.trust(False)
        return StateUnavailable(NOT_THE_STATE, "It is rebuilt from the ledger; send the same again in a moment.")

    async def probe(self) -> None:
        """Write a key: a Redis that answers and takes no write is found although no payment comes.

        Raises: StateUnavailable.
        """
        call = self.connection.call(("SET", self.keys.probe, b"", "EX", "60"), default_deadline())
        self._note(await call)

    async def open(self) -> None:
        """Connect.

        Raises: StateUnavailable.
        """
        await self.connection.open()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    # -- payments ------------------------------------------------------------------------------

    async def admit(
        self, payment: Payment, entry: Entry, content: bytes, digest: bytes, due_ms: int, arrival_ms: int,
        deadline_ns: int,
    ) -> AdmitResult:  # fmt: skip
        """Claim a payment, read its entities' strings and append it to them and to the stream, all or nothing.

        Raises: StateUnavailable; then it may or may not have happened: admitting again is safe and shows which.
        """
        keys = self._entity_keys(entry)
        reply = await self.run_script(
            ADMIT, (self.keys.transaction(payment.transaction_id), self.keys.events, self.keys.contract, *keys),
            (
                digest, due_bytes(due_ms), self.keep_seconds, self.stream_limit, payment.transaction_id,
                str(payment.event_time_ms), str(arrival_ms), content, self.contract,
                *[event for event in entry.events if event is not None],
            ),
            deadline_ns,
        )  # fmt: skip
        if reply[0] is not None:
            return AdmitResult(read_record(reply[0]), b"", [])
        if len(reply) == 1:
            return STREAM_FULL
        if reply[1] is None:
            raise self.distrust()
        if self._mark is not None:
            self._mark.newest = reply[1]
        return AdmitResult(None, reply[1], aligned(entry, reply[2:]))

    async def decide(
        self, header: EventHeader, digest: bytes, payment_id: bytes, body: bytes, answer: bytes, case: bytes,
        deadline_ns: int,
    ) -> IdempotencyRecord | None:  # fmt: skip
        """Record a decision and its answer for retries; returns the record if another worker decided first.

        Raises: StateUnavailable; then it may or may not have happened: calling again is safe and returns what happened.
        """
        name = header.transaction_id
        known = await self.run_script(
            DECIDE, (self.keys.transaction(name), self.keys.events, self.keys.waiting(name)),
            (
                digest, payment_id, self.keep_seconds, answer, name, str(header.event_time_ms),
                str(header.arrival_time_ms), body, case,
            ),
            deadline_ns,
        )  # fmt: skip
        return self._decided(name, known)

    def _decided(self, transaction_id: str, reply: bytes | int) -> IdempotencyRecord | None:
        if isinstance(reply, bytes):
            return read_record(reply)
        if reply:
            self.on_known(transaction_id)
        return None

    async def admit_decided(self, one: DecidedPayment, deadline_ns: int) -> AdmitResult:
        """Admit a payment together with its decision, which was made without state; the reply holds no strings.

        Raises: StateUnavailable; then it may or may not have happened: calling again is safe and returns what happened.
        """
        reply = await self.run_script(ADMIT_DECIDED, *self._arguments(one), deadline_ns)
        if reply[0] is not None:
            return AdmitResult(read_record(reply[0]), b"", [])
        if len(reply) == 1:
            return STREAM_FULL
        if reply[1] is None:
            raise self.distrust()
        if len(reply) == 3:
            self.on_known(one.header.transaction_id)
        return AdmitResult(None, reply[1], [])

    def call_admit_decided(self, one: DecidedPayment, deadline_ns: int) -> asyncio.Future[Any]:
        """The same call without a coroutine: a reply with a stream id is a success, else call `admit_decided`.

        With a third value reports wait for the payment: call `on_known`.
        """
        return self._call(ADMIT_DECIDED, *self._arguments(one), deadline_ns)

    def _arguments(self, one: DecidedPayment) -> tuple[list[bytes], tuple[Any, ...]]:
        header, entry = one.header, one.entry
        name = header.transaction_id
        keys = [
            *(self.keys.transaction(name), self.keys.events, self.keys.waiting(name), self.keys.contract),
            *self._entity_keys(entry),
        ]  # fmt: skip
        events = [event for event in entry.events if event is not None]
        return keys, (
            one.digest, self.keep_seconds, self.stream_limit, header.transaction_id, str(header.event_time_ms),
            str(header.arrival_time_ms), one.content, one.unfinished, one.answer, one.case, self.contract, *events,
        )  # fmt: skip

    def compact(self, kind: int, key: str, former: bytes, keep_from: int, string: bytes) -> None:
        """Replace the record and the events of a string before `keep_from` by a new record, without waiting."""
        future = self.connection.call(
            ("EVALSHA", COMPACT.sha, "1", self.keys.entity(kind, key), former, str(keep_from), string),
            default_deadline(),
        )
        future.add_done_callback(_ignore_result)

    async def read(self, entry: Entry, deadline_ns: int) -> Strings:
        """The strings of a payment's entities; changes nothing."""
        keys = self._entity_keys(entry)
        return aligned(entry, checked(await self.connection.call(("MGET", *keys), deadline_ns)))

    async def record(self, transaction_id: str, deadline_ns: int) -> IdempotencyRecord | None:
        """The idempotency record of a payment, or None."""
        raw = checked(await self.connection.call(("GET", self.keys.transaction(transaction_id)), deadline_ns))
        return None if raw is None else read_record(raw)

    # -- other events --------------------------------------------------------------------------

    async def append(
        self, header: EventHeader, body: bytes, case: bytes = b"", deadline_ns: int | None = None
    ) -> bytes:
        """Append an event to the stream, and nothing to an entity; returns its stream id.

        `case` is the case that a decision opens; without a deadline (monotonic ns) the call has the default one.
        """
        fields = (
            "k", header.kind, "t", header.transaction_id, "e", str(header.event_time_ms),
            "a", str(header.arrival_time_ms), "b", body, *(("c", case) if case else ()),
        )  # fmt: skip
        call = self.connection.call(("XADD", self.keys.events, "*", *fields), deadline_ns or default_deadline())
        stream_id: bytes = checked(await call)
        return stream_id

    async def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = checked(await self.connection.call(("GET", key), default_deadline()))
        return value

    async def exchange(self, key: bytes, former: bytes, value: bytes, seconds: int = TEN_YEARS_SECONDS) -> bytes | None:
        """Compare and set: write `value` if the key holds `former` (empty: absent), else return what it holds."""
        found: bytes | None = await self.run_script(EXCHANGE, (key,), (former, value, str(seconds)), default_deadline())
        return found

    async def delete(self, key: bytes) -> None:
        """Delete a key."""
        checked(await self.connection.call(("DEL", key), default_deadline()))

    def _entity_keys(self, entry: Entry) -> list[bytes]:
        """The Redis keys of the entities that the payment names."""
        return [self.keys.entity(kind, key) for kind, key in enumerate(entry.keys) if key is not None]

    async def run(self, script: Script, keys: Sequence[bytes], values: Sequence[Any]) -> Any:
        """Run a script that belongs to no payment's deadline.

        Raises: StateUnavailable.
        """
        return await self.run_script(script, keys, values, default_deadline())

    async def run_script(self, script: Script, keys: Sequence[bytes], values: Sequence[Any], deadline_ns: int) -> Any:
        """The reply of a script. Raises: StateUnavailable."""
        reply = await self._call(script, keys, values, deadline_ns)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            checked(await self.connection.call(("SCRIPT", "LOAD", script.text), deadline_ns))
            reply = await self._call(script, keys, values, deadline_ns)
        return self._note(reply)

    def _note(self, reply: Any) -> Any:
        """The reply of a write, unless it is an error; remembers whether Redis takes writes.

        Raises: StateUnavailable.
        """
        error = refusal_in(reply)
        self.refusal = "" if error is None else str(error)
        if error is None:
            return reply
        if str(reply).startswith(_LEAVE):
            self.connection.reconnect(self.refusal)
        raise error

    def _call(
        self, script: Script, keys: Sequence[bytes], values: Sequence[Any], deadline_ns: int
    ) -> asyncio.Future[Any]:
        return self.connection.call(("EVALSHA", script.sha, str(len(keys)), *keys, *values), deadline_ns)


def _ignore_result(future: Any) -> None:
    # Compaction only saves memory; the next payment of the entity tries again.
    if not future.cancelled():
        future.exception()
