"""Decides and records one payment over Redis: the same steps as the embedded engine, with two round trips.

The first admits the payment: it claims its id, reads the state of its entities and appends it to them and to the
stream, all or nothing. The features are folded in this process, by the same kernel. The second records the decision;
the answer leaves when that is acknowledged. While Redis is late or unavailable a payment is decided by amount and
recorded later (serving/engine/clustered/outbox/); such an answer names no receipt.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import BrokenState
from features.intake.parse import payment_json
from features.state.codec import HEADER_BYTES
from features.state.remote import EntityStrings, Entry, generation_of, header
from serving.decision.clock import Clock
from serving.decision.decider import Decider, FeatureReading, Timings, deadline_of
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY, STALE
from serving.decision.receipt import Receipt
from serving.engine.clustered.claim import Claim, empty_reading, replay_of, replayed, scored_from, without_receipt
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.engine.clustered.outbox.journal import PendingDecision
from serving.engine.clustered.outbox.outbox import Outbox, record_decision
from serving.engine.clustered.outbox.recent import RecentDecisions
from serving.engine.clustered.profiles import SharedProfiles
from serving.engine.clustered.retries import Retries
from serving.engine.clustered.single_flight import SingleFlight
from serving.engine.clustered.single_trip import SingleTrip
from serving.engine.retry_identity import content_digest
from serving.engine.scored import OnScored, Scored, in_imported_history, outside_window
from serving.errors import StateUnavailable
from serving.ledger.sqlite.ledger import Event
from serving.redis_store.idempotency_record import IdempotencyRecord
from serving.redis_store.messages import Strings
from serving.redis_store.state import RedisState
from serving.redis_store.stream_lookup import unrecorded_payment

log = logging.getLogger("riskgate.engine")

#: Reserve of the first round trip before the deadline, for deciding and for the sweep that finds late replies.
AFTER_ADMISSION_NS = 8_000_000
#: Minimum time between two warnings about Redis.
QUIET_NS = 5_000_000_000


class RedisEngine:
    """Scores payments against one bundle and a state that many workers share."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        decider: Decider,
        state: RedisState,
        clock: Clock,
        lookup: LedgerLookup,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.catalogue = catalogue
        self.decider = decider
        self.state = state
        self.clock = clock
        self.lookup = lookup
        self.now_ns = now_ns
        self.strings = EntityStrings(catalogue)
        self.shared_profiles = SharedProfiles(state, None, None, catalogue)
        self.stream_full = False
        #: Payments decided with state and without it, and why without it the last time.
        self.decided = self.misses = 0
        self.trouble = ""
        self._quiet_until_ns = 0
        self.outbox = Outbox(state, self.receipt_of, RecentDecisions(now_ns))
        state.on_lost = self.outbox.record_again
        self._single_flight = SingleFlight()
        self._single_trip = SingleTrip(self)
        self._retries = Retries(self)

    @property
    def late(self) -> bool:
        """Whether Redis is late with a reply to a payment."""
        return self.state.late

    @property
    def trip_ns(self) -> int:
        """The usual round trip to Redis, ns."""
        return self.state.connection.trip_ns

    # -- calls ---------------------------------------------------------------------------------

    async def answer(
        self, payment: Payment, started_ns: int, *, explain_approved: bool = False, best_tier: str = FULL
    ) -> Scored:
        """See `Engine.answer`."""
        # A retry that comes while the first request is under way waits for it here, and then finds its record.
        while (other := self._single_flight.of(payment.transaction_id)) is not None:
            await other
        self._single_flight.begin(payment.transaction_id)
        try:
            return await self._answer(payment, started_ns, explain_approved, best_tier)
        finally:
            self._single_flight.end(payment.transaction_id)

    def begin_by_amount(self, payment: Payment, started_ns: int, on_scored: OnScored) -> bool:
        """See `ServerEngine.begin_by_amount`."""
        name = payment.transaction_id
        if (
            not (self.state.one_trip and self.state.works and self._accepts(payment))
            or name in self._single_flight
            or name in self.outbox
            or self.lookup.imported(name)
        ):
            return False

        def ended(scored: Scored | Exception) -> None:
            self._single_flight.end(name)
            on_scored(scored)

        self._single_trip.begin(*self._claim(payment, started_ns, DEFAULT), ended)
        self._single_flight.begin(name)
        return True

    def _accepts(self, payment: Payment) -> bool:
        return self.clock.accepts(payment.event_time_ms, late=payment.late)

    def claim(self, payment: Payment, content: bytes, best_tier: str) -> Claim:
        """A payment with its canonical bytes, ready for Redis."""
        return Claim(payment, content, content_digest(content), self.strings.entry(payment), best_tier)

    def _claim(self, payment: Payment, started_ns: int, best_tier: str) -> tuple[Claim, Timings]:
        content = payment_json(payment)
        arrival_ms, begin_ns = time.time_ns() // 1_000_000, self.now_ns()
        claim = self.claim(payment, content, best_tier)
        return claim, Timings(started_ns, begin_ns, begin_ns, deadline_of(payment, started_ns), arrival_ms)

    async def _answer(self, payment: Payment, started_ns: int, explain_approved: bool, best_tier: str) -> Scored:
        claim, timings = self._claim(payment, started_ns, best_tier)
        if not self._accepts(payment):
            return await self._retries.answer_or_refuse(claim, timings, explain_approved)
        if self.lookup.imported(payment.transaction_id):
            raise in_imported_history(payment.transaction_id)
        if not self.state.works or payment.transaction_id in self.outbox:
            return self.without_state(claim, timings, explain_approved)
        if best_tier == DEFAULT:
            return await self._single_trip.answer(claim, timings, explain_approved)
        admit_ns = max(timings.deadline_ns - AFTER_ADMISSION_NS, (timings.begin_ns + timings.deadline_ns) // 2)
        due_ms = timings.arrival_ms + payment.deadline_ms
        try:
            admitted = await self.state.admit(
                payment, claim.entry, claim.content, claim.digest, due_ms, timings.arrival_ms, admit_ns
            )
        except StateUnavailable as error:
            self.warn_rarely("payments are decided without state", error)
            return self.without_state(claim, timings, explain_approved)
        if admitted.known is not None:
            return await self.replay(claim, admitted.known, timings, explain_approved)
        if admitted.full:
            return self.without_stream(claim)
        self.stream_full = False
        return await self.decide(claim, admitted.payment_id, admitted.strings, timings, explain_approved)

    async def replay(self, claim: Claim, known: IdempotencyRecord, timings: Timings, explain_approved: bool) -> Scored:
        """The answer of a payment that Redis holds."""
        return await self._retries.answer(claim, known, timings, explain_approved)

    async def dry_run(self, payment: Payment) -> Scored:
        """See `Engine.dry_run`."""
        if not self._accepts(payment):
            raise outside_window(payment, self.clock.now_ms())
        entry = self.strings.entry(payment)
        try:
            strings = await self.state.read(entry, self.now_ns() + payment.deadline_ms * 1_000_000)
            vector = self.strings.observe(payment, entry, strings, self.shared_profiles.profiles, keep=False)
        except (StateUnavailable, BrokenState):
            evaluation, answer = self.decider.by_amount(payment, ("state",))
            return Scored(answer, False, None, evaluation.decision.word, DEFAULT)
        evaluation, answer = self.decider.try_out(payment, FeatureReading(vector, FULL, (), False, ()))
        return Scored(answer, False, None, evaluation.decision.word, FULL)

    async def payment_event(self, transaction_id: str) -> Event | None:
        """See `Engine.payment_event`: from the stream if the recorder has not written it yet, else from PostgreSQL."""
        try:
            event = await unrecorded_payment(self.state, transaction_id, self.lookup.content)
        except StateUnavailable:
            event = None
        return event or await asyncio.to_thread(self.lookup.payment, transaction_id)

    # -- the steps -----------------------------------------------------------------------------

    async def decide(
        self, claim: Claim, payment_id: bytes, strings: Strings, timings: Timings, explain_approved: bool
    ) -> Scored:
        """Decide an admitted payment, from the strings of its entities before it."""
        payment = claim.payment
        self.decided += 1
        in_time = self.now_ns() < timings.deadline_ns
        reading = self._read(claim, strings, claim.best_tier if in_time else DEFAULT)
        if reading.tier in (FULL, RULES_ONLY):
            self._compact(claim.entry, strings)
        timings = msgspec.structs.replace(timings, read_ns=self.now_ns())
        decided = self.decider.decide(payment, reading, timings, self.now_ns, explain_approved=explain_approved)
        self.clock.advance(payment.event_time_ms)
        pending = PendingDecision(payment, claim.content, claim.digest, claim.entry, decided, timings.arrival_ms)
        try:
            first = await record_decision(self.state, pending, payment_id, timings.deadline_ns)
        except StateUnavailable as error:
            self.warn_rarely("decisions are answered before they are recorded", error)
            return self.record_later(msgspec.structs.replace(pending, payment_id=payment_id))
        if first is not None:
            return replay_of(claim, first)
        self.outbox.recent.add(pending)
        return scored_from(decided)

    def _read(self, claim: Claim, strings: Strings, best_tier: str) -> FeatureReading:
        """The features and what is missing of them; the payment is part of the state already."""
        payment, entry = claim.payment, claim.entry
        try:
            vector = self.strings.observe(payment, entry, strings, self.shared_profiles.profiles)
            seen = self.strings.last_seen()
            if best_tier == DEFAULT:
                return empty_reading(("features", "model"), seen)
            return FeatureReading(vector, best_tier, (), True, seen, self.shared_profiles.row)
        except BrokenState as error:
            log.error("%s", error)
            return empty_reading(("state", "model"), ())
        except Exception:  # whatever breaks, a valid request gets a decision
            log.exception("features could not be read with profiles")
        try:
            vector = self.strings.observe(payment, entry, strings, None)
            tier = STALE if best_tier == FULL else best_tier
            return FeatureReading(vector, tier, ("profiles",), True, self.strings.last_seen())
        except Exception:
            log.exception("features could not be read")
            return empty_reading(("features", "model"), ())

    def _compact(self, entry: Entry, strings: Strings) -> None:
        """Compact the strings with long tails, right after they were folded."""
        for kind in self.strings.long_tails():
            key, event, old = entry.keys[kind], entry.events[kind], strings[kind]
            if key is not None and event is not None and old is not None:
                packed = self.strings.packed(kind)
                string = header(generation_of(old) + 1, packed) + packed
                self.state.compact(kind, key, old[:HEADER_BYTES], len(old) + len(event), string)

    # -- without Redis -------------------------------------------------------------------------

    def without_state(self, claim: Claim, timings: Timings, explain_approved: bool) -> Scored:
        """Decide by amount without Redis, and record the decision later."""
        payment = claim.payment
        pending = self.outbox.pending(payment.transaction_id)
        if pending is not None:  # answered before: a retry gets the same answer
            answer = replayed(claim, pending.digest, pending.decided.answer, pending.content).answer
            return without_receipt(pending.decided, answer)
        self.misses += 1
        reading = empty_reading(("state", "model"), ())
        decided = self.decider.decide(payment, reading, timings, self.now_ns, explain_approved=explain_approved)
        pending = PendingDecision(payment, claim.content, claim.digest, claim.entry, decided, timings.arrival_ms)
        return self.record_later(pending)

    def warn_rarely(self, what: str, error: StateUnavailable) -> None:
        """Log an outage of Redis at most once in `QUIET_NS`, not for each of thousands of payments."""
        self.trouble, now_ns = str(error), self.now_ns()
        if now_ns >= self._quiet_until_ns:
            self._quiet_until_ns = now_ns + QUIET_NS
            log.warning("%s: %s", what, error)

    def record_later(self, pending: PendingDecision) -> Scored:
        """Put a decision that Redis has not taken into the outbox; returns its answer."""
        self.outbox.add(pending)
        return without_receipt(pending.decided)

    def without_stream(self, claim: Claim) -> Scored:
        """The decision while the stream is full."""
        if not self.stream_full:
            log.error(
                "The stream holds as many unrecorded events as RISKGATE_STREAM_LIMIT allows: payments get the "
                "policy's default decision until the recorder has drained it."
            )
        self.stream_full = True
        evaluation, answer = self.decider.by_amount(claim.payment, ("ledger",))
        return Scored(answer, False, None, evaluation.decision.word, DEFAULT)

    def receipt_of(self, pending: PendingDecision, strings: Strings | None) -> Receipt:
        """The receipt of a decision made without state, once the payment's place in the state is known."""
        seen: tuple[int, ...] = ()
        if strings is not None:
            try:
                self.strings.observe(pending.payment, pending.entry, strings, None)
                seen = self.strings.last_seen()
            except BrokenState as error:
                log.error("%s", error)
        return msgspec.structs.replace(pending.decided.receipt, seen=seen)
