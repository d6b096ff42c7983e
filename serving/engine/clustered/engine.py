"""The way of one payment over Redis: the order of work of the embedded engine, with two trips on it.

Trip 1 admits the payment: claims its id, reads the state of its entities and appends it to them and to
the stream, all or nothing. Features are folded here, by the same kernel. Trip 2 records the decision; the
answer leaves when that is acknowledged. When Redis is late or gone the payment is decided by amount, and
recorded as soon as Redis takes it (serving/engine/clustered/outbox.py); such an answer names no receipt.
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
from serving.decision.decider import Decider, Deciding, Moments, Reading, deadline_of
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY, STALE
from serving.decision.receipt import Receipt
from serving.engine.clustered.claim import Claim, Past, check_content, nothing, same, unreceipted
from serving.engine.clustered.outbox import Settling, Unsettled, record_decision
from serving.engine.clustered.profiles import SharedProfiles
from serving.engine.clustered.retries import Retries
from serving.engine.clustered.single_flight import Waiting
from serving.engine.clustered.single_trip import AtOnce, Tell
from serving.engine.embedded.engine import Scored, in_imported_history, outside_window
from serving.errors import StateUnavailable
from serving.ledger.sqlite.ledger import Event
from serving.redis_store.idempotency_record import Record, digest_of
from serving.redis_store.messages import Strings
from serving.redis_store.state import RedisState
from serving.redis_store.stream_lookup import fresh_payment

log = logging.getLogger("riskgate.engine")

#: Kept back from the deadline of a trip: for deciding after the first, and for the sweep that finds late replies.
AFTER_ADMISSION_NS = 8_000_000
#: How long nothing is logged about a late Redis after it was.
QUIET_NS = 5_000_000_000


class RedisEngine(Deciding):
    """Scores payments against one bundle and a state that many workers share."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        decider: Decider,
        state: RedisState,
        clock: Clock,
        past: Past,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.catalogue = catalogue
        self.decider = decider
        self.state = state
        self.clock = clock
        self.past = past
        self.now_ns = now_ns
        self.strings = EntityStrings(catalogue)
        self.shared_profiles = SharedProfiles(state, None, None, catalogue)
        self.stream_full = False
        self.misses = 0
        self._quiet_until_ns = 0
        self.settling = Settling(state, self.seen_by)
        self._waiting = Waiting()
        self._at_once = AtOnce(self)
        self._retries = Retries(self)

    @property
    def late(self) -> bool:
        """Whether payments wait for Redis longer than they should."""
        return self.state.late

    @property
    def trip_ns(self) -> int:
        """How long Redis takes when nothing holds it up, ns."""
        return self.state.wire.trip_ns

    # -- the ways in ---------------------------------------------------------------------------

    async def answer(
        self, payment: Payment, started_ns: int, *, explain_approved: bool = False, most: str = FULL
    ) -> Scored:
        """Score and record one payment, at tier `most` or a lower one; the answer may be sent.

        Raises: Refused for an event time outside the clock's window, Conflict for a known id with other
        content.
        """
        # Retries that come while the first is under way wait for it here, and then find its record.
        while (other := self._waiting.of(payment.transaction_id)) is not None:
            await other
        self._waiting.begin(payment.transaction_id)
        try:
            return await self._answer(payment, started_ns, explain_approved, most)
        finally:
            self._waiting.end(payment.transaction_id)

    def by_amount(self, payment: Payment, started_ns: int, tell: Tell) -> bool:
        """Begin to decide a payment by amount; `tell` hears the answer. False: it is not that plain, `answer` knows."""
        name = payment.transaction_id
        if (
            not (self.state.one_trip and self.state.works and self.clock.accepts(payment.event_time_ms))
            or name in self._waiting
            or self.settling.known(name) is not None
            or self.past.imported(name)
        ):
            return False

        def ended(scored: Scored | Exception) -> None:
            self._waiting.end(name)
            tell(scored)

        self._at_once.begin(*self._claim(payment, started_ns, DEFAULT), ended)
        self._waiting.begin(name)
        return True

    def _claim(self, payment: Payment, started_ns: int, most: str) -> tuple[Claim, Moments]:
        content = payment_json(payment)
        arrival_ms, begin_ns = time.time_ns() // 1_000_000, self.now_ns()
        claim = Claim(payment, content, digest_of(content), self.strings.entry(payment), most)
        return claim, Moments(started_ns, begin_ns, begin_ns, deadline_of(payment, started_ns), arrival_ms)

    async def _answer(self, payment: Payment, started_ns: int, explain_approved: bool, most: str) -> Scored:
        claim, moments = self._claim(payment, started_ns, most)
        if not self.clock.accepts(payment.event_time_ms):
            return await self._retries.answer_or_refuse(claim, moments, explain_approved)
        if self.past.imported(payment.transaction_id):
            raise in_imported_history(payment.transaction_id)
        if not self.state.works or self.settling.known(payment.transaction_id) is not None:
            return self.without_state(claim, moments, explain_approved)
        if most == DEFAULT:
            return await self._at_once.answer(claim, moments, explain_approved)
        admit_ns = max(moments.deadline_ns - AFTER_ADMISSION_NS, (moments.begin_ns + moments.deadline_ns) // 2)
        due_ms = moments.arrival_ms + payment.deadline_ms
        try:
            admitted = await self.state.admit(
                payment, claim.entry, claim.content, claim.digest, due_ms, moments.arrival_ms, admit_ns
            )
        except StateUnavailable as error:
            self.say("payments are decided without state", error)
            return self.without_state(claim, moments, explain_approved)
        if admitted.known is not None:
            return await self.again(claim, admitted.known, moments, explain_approved)
        if admitted.full:
            return self.full(claim)
        self.stream_full = False
        return await self.decide(claim, admitted.payment_id, admitted.strings, moments, explain_approved)

    async def again(self, claim: Claim, known: Record, moments: Moments, explain_approved: bool) -> Scored:
        """The answer of a payment that Redis knows."""
        return await self._retries.answer(claim, known, moments, explain_approved)

    async def try_out(self, payment: Payment) -> Scored:
        """Decide and explain as if now, with nothing recorded and nothing counted (`?dry_run=1`).

        Raises: Refused for an event time outside the clock's window.
        """
        if not self.clock.accepts(payment.event_time_ms):
            raise outside_window()
        entry = self.strings.entry(payment)
        try:
            strings = await self.state.read(entry, self.now_ns() + payment.deadline_ms * 1_000_000)
            vector = self.strings.observe(payment, entry, strings, self.shared_profiles.profiles, keep=False)
        except (StateUnavailable, BrokenState):
            judgement, answer = self.decider.by_amount(payment, ("state",))
            return Scored(answer, False, None, judgement.decision.word, DEFAULT)
        judgement, answer = self.decider.try_out(payment, Reading(vector, FULL, (), False, ()))
        return Scored(answer, False, None, judgement.decision.word, FULL)

    async def recorded(self, transaction_id: str) -> Event | None:
        """The `payment` event of that transaction: from PostgreSQL, or from the stream if it is not there yet."""
        try:
            event = await fresh_payment(self.state, transaction_id, self.past.content)
        except StateUnavailable:
            event = None
        return event or await asyncio.to_thread(self.past.payment, transaction_id)

    # -- the steps -----------------------------------------------------------------------------

    async def decide(
        self, claim: Claim, payment_id: bytes, strings: Strings, moments: Moments, explain_approved: bool
    ) -> Scored:
        """Decide a payment that is admitted, from the strings of its entities as it found them."""
        payment = claim.payment
        in_time = self.now_ns() < moments.deadline_ns
        reading = self._read(claim, strings, claim.most if in_time else DEFAULT)
        if reading.tier in (FULL, RULES_ONLY):
            self._compact(claim.entry, strings)
        moments = msgspec.structs.replace(moments, read_ns=self.now_ns())
        decided = self.decider.decide(payment, reading, moments, self.now_ns, explain_approved=explain_approved)
        self.clock.advance(payment.event_time_ms)
        unsettled = Unsettled(payment, claim.content, claim.digest, claim.entry, decided, moments.arrival_ms)
        try:
            first = await record_decision(self.state, unsettled, payment_id, moments.deadline_ns)
        except StateUnavailable as error:
            self.say("decisions are told before they are recorded", error)
            return self.later(msgspec.structs.replace(unsettled, payment_id=payment_id))
        if first is not None:
            return same(claim, first)
        return Scored(decided.answer, False, None, decided.judgement.decision.word, decided.tier)

    def _read(self, claim: Claim, strings: Strings, most: str) -> Reading:
        """Features and what is missing of them; the payment is part of the state already."""
        payment, entry = claim.payment, claim.entry
        try:
            vector = self.strings.observe(payment, entry, strings, self.shared_profiles.profiles)
            seen = self.strings.last_seen()
            if most == DEFAULT:
                return nothing(("features", "model"), seen)
            return Reading(vector, most, (), True, seen, self.shared_profiles.row)
        except BrokenState as error:
            log.error("%s", error)
            return nothing(("state", "model"), ())
        except Exception:  # law 4: whatever breaks, a valid request gets a decision
            log.exception("features could not be read with profiles")
        try:
            vector = self.strings.observe(payment, entry, strings, None)
            tier = STALE if most == FULL else most
            return Reading(vector, tier, ("profiles",), True, self.strings.last_seen())
        except Exception:
            log.exception("features could not be read")
            return nothing(("features", "model"), ())

    def _compact(self, entry: Entry, strings: Strings) -> None:
        """Pack the strings that got long, right after they were folded."""
        for kind in self.strings.long_tails():
            key, event, old = entry.keys[kind], entry.events[kind], strings[kind]
            if key is not None and event is not None and old is not None:
                packed = self.strings.packed(kind)
                string = header(generation_of(old) + 1, packed) + packed
                self.state.compact(kind, key, old[:HEADER_BYTES], len(old) + len(event), string)

    # -- without Redis -------------------------------------------------------------------------

    def without_state(self, claim: Claim, moments: Moments, explain_approved: bool) -> Scored:
        """Decide by amount what Redis cannot be asked about, and record it later."""
        payment = claim.payment
        settled = self.settling.known(payment.transaction_id)
        if settled is not None:  # told once already: a retry hears the same
            check_content(claim, settled.digest)
            return unreceipted(settled.decided, True)
        self.misses += 1
        reading = nothing(("state", "model"), ())
        decided = self.decider.decide(payment, reading, moments, self.now_ns, explain_approved=explain_approved)
        return self.later(Unsettled(payment, claim.content, claim.digest, claim.entry, decided, moments.arrival_ms))

    def say(self, what: str, error: StateUnavailable) -> None:
        """Say once in a while that Redis is late: thousands of payments must not write thousands of lines."""
        now_ns = self.now_ns()
        if now_ns >= self._quiet_until_ns:
            self._quiet_until_ns = now_ns + QUIET_NS
            log.warning("%s: %s", what, error)

    def later(self, unsettled: Unsettled) -> Scored:
        """The answer of a decision that Redis has not taken: it is recorded as soon as it does."""
        self.settling.add(unsettled)
        return unreceipted(unsettled.decided, False)

    def full(self, claim: Claim) -> Scored:
        """The decision when the stream takes no more."""
        if not self.stream_full:
            log.error(
                "The stream holds as many unrecorded events as RISKGATE_STREAM_LIMIT allows: payments get the "
                "policy's default decision until the recorder has drained it."
            )
        self.stream_full = True
        judgement, answer = self.decider.by_amount(claim.payment, ("ledger",))
        return Scored(answer, False, None, judgement.decision.word, DEFAULT)

    def seen_by(self, unsettled: Unsettled, strings: Strings | None) -> Receipt:
        """The receipt of a decision made without state, once it is known where the payment stands in it."""
        seen: tuple[int, ...] = ()
        if strings is not None:
            try:
                self.strings.observe(unsettled.payment, unsettled.entry, strings, None)
                seen = self.strings.last_seen()
            except BrokenState as error:
                log.error("%s", error)
        return msgspec.structs.replace(unsettled.decided.receipt, seen=seen)
