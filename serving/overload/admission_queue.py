"""The queue of payments that wait to be decided, with an estimate of the time that deciding them takes.

Each turn of the event loop decides a slice of the queue and then reads the sockets again. The best tier of a payment is
set when it arrives, by the work before it, and again when its turn comes, by its age.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from features.bundle.bundle import Bundle
from features.catalogue.catalogue import catalogue_of
from serving.decision.evaluator import DEFAULT, FULL
from serving.overload.load_shedding import (
    AGE_THRESHOLD,
    COST,
    LADDER,
    REFUSED,
    Admitted,
    AmountRanks,
    RequestPeek,
    tier_for,
)
from serving.overload.plain_head import PlainHead
from serving.overload.queued_payment import DecideFast, QueuedConnection, QueuedPayment, Refusal, Reject
from serving.server.headers import ALWAYS, Header

#: Work of one turn of the event loop; after it the sockets are read again.
SLICE_NS = 5_000_000
#: Time of one full decision: the first estimate, and bounds of the measured one.
FIRST_UNIT_NS, MIN_UNIT_NS, MAX_UNIT_NS = 200_000.0, 20_000.0, 20_000_000.0
#: Time constant of that measurement.
MEMORY_NS = 200_000_000.0
#: While the queue is empty, the thread time of this many payments is measured, if they came within this time. With only
#: the first estimate, the service refused payments in the first tenths of a second of a burst.
IDLE_UNITS, IDLE_NS = 32, 64_000_000
MIN_SLICE = 8.0
#: Sample one in N payments to estimate the quantiles of amounts.
SAMPLE_EVERY = 4
#: Payments younger than this have not waited: the kernel's clock has steps of up to 4 ms.
MAX_KERNEL_AGE_MS = 5.0
#: While turns follow each other this closely, data arrived in the latest turn, and the kernel is not asked for its age
#: (that took a tenth of the processor).
BUSY_TURN_NS = 20_000_000
#: After this long of reading and refusing, a slice of the queue is decided in between: waiting payments have deadlines.
MAX_READ_NS = 8_000_000
#: More work than this for so long is a standing queue: it adds delay without absorbing bursts.
STANDING_MS, STANDING_NS = 20.0, 500_000_000
#: Concurrent payments that wait for a server (Redis): enough to share its round trips, plus as many as begin during two
#: of them. The others wait in the queue, where their tier can still be lowered.
MIN_SLOTS = 40


class AdmissionQueue:
    """The queue of one process."""

    def __init__(
        self,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        thread_time_ns: Callable[[], int] = time.thread_time_ns,
        *,
        tier_for: Callable[..., str] = tier_for,
        max_kernel_age_ms: float = MAX_KERNEL_AGE_MS,
    ) -> None:
        self.now_ns = now_ns
        self.thread_time_ns = thread_time_ns  # processor time of the deciding thread
        self.tier_for = tier_for  # the best tier of a payment, or `refused`
        self.max_kernel_age_ms = max_kernel_age_ms
        self.peek = RequestPeek({}, {})  # until a bundle is served, amounts are not weighted
        self.ranks = AmountRanks()
        self.fast_path: DecideFast | None = None
        self.reject: Reject | None = None  # None: callers need no key
        self.body_limit_bytes = 65_536
        self.draining = False  # every request then goes to the application, which closes connections
        self.unit_ns = FIRST_UNIT_NS
        self.refusal = Refusal(ALWAYS)
        self.refused = 0
        self.shed = dict.fromkeys(COST, 0)
        self._bundle_now: Callable[[], Bundle] | None = None
        self._bundle: Bundle | None = None
        self._queue: deque[QueuedPayment] = deque()
        self._units = 0.0  # cost of the queue, in full decisions
        self._left = 0.0  # units that this turn may still begin
        self._begun = 0.0  # units begun in this turn
        self._turn_scheduled = False
        self._turn_ns = 0
        self._turns_are_close = False
        self._last_slice_ns = 0
        self._last_short_ns = 0  # when the queue was last short
        self._in_use = 0
        self._slots = float(MIN_SLOTS)
        self.server_is_late: Callable[[], bool] = lambda: False
        self.trip_ns: Callable[[], int] = lambda: 0  # the usual round trip to that server
        self._measured_ns, self._measured_units = MEMORY_NS / 4, MEMORY_NS / 4 / FIRST_UNIT_NS
        self._was_waiting = False
        self._idle_since_ns = self._idle_thread_ns = 0  # when `_idle_units` began
        self._idle_units = 0.0
        self._count = 0

    def serve(
        self,
        body_limit_bytes: int,
        bundle: Callable[[], Bundle],
        fast_path: DecideFast | None,
        always: tuple[Header, ...],
    ) -> None:
        """Set what the service allows and how its bundle weights amounts."""
        self.body_limit_bytes = body_limit_bytes
        self._bundle_now = bundle
        self._refresh_policy()
        self.fast_path = fast_path
        self.refusal = Refusal(always)

    def _refresh_policy(self) -> None:
        """Refresh currency weights and channel risks after a change of the bundle."""
        if self._bundle_now is None or (bundle := self._bundle_now()) is self._bundle:
            return
        self._bundle = bundle
        self.peek = RequestPeek(catalogue_of(bundle.contract).weights, bundle.policy.channel_risk)

    def acquire_slot(self) -> None:
        """Count a payment that waits for a server, until `release_slot`."""
        self._in_use += 1

    def release_slot(self, loop: asyncio.AbstractEventLoop) -> None:
        """A payment that waited for a server was answered."""
        self._in_use -= 1
        if self._queue and not self._turn_scheduled:
            self._turn_scheduled = True
            loop.call_soon(self._turn, loop)

    @property
    def waiting(self) -> int:
        """Payments that wait."""
        return len(self._queue)

    @property
    def work_ms(self) -> float:
        """The estimated time of the work that waits or is under way, milliseconds."""
        return (self._units + self._in_use * COST[DEFAULT]) * self.unit_ns * 1e-6

    def take(self, connection: QueuedConnection, data: bytes, head: PlainHead) -> None:
        """Begin a payment now, queue it, or refuse it."""
        now = self.now_ns()
        # It arrived after the sockets were read before this turn: on average when the turn began.
        since_ns = now - self._turn_ns
        age_ms = since_ns * 1e-6 if self._turns_are_close and since_ns < BUSY_TURN_NS else connection.age_ms()
        arrived_ns = now - int(age_ms * 1e6)
        self._count += 1
        if not self._turn_scheduled:
            self._turn_scheduled = True
            if not self._queue:  # else the queue waited for a server, and that time counts
                self._left, self._begun, self._turn_ns = self._slice(), 0.0, now
            connection.loop.call_soon(self._turn, connection.loop)
        room = self._left > 0.0 and not self._queue and self._slot_is_free()
        if room and age_ms < self.max_kernel_age_ms:
            if self._count % SAMPLE_EVERY == 0 and self._rejection(head) is None:
                self.ranks.learn(self.peek.read(data).money)
            self._begin(connection, data, head, Admitted(arrived_ns, FULL))
            return
        # A caller without a valid key takes no place in the queue, whatever the amount.
        if (reply := self._rejection(head)) is not None:
            connection.transport.write(reply)
            return
        if now - self._last_slice_ns > MAX_READ_NS and self._queue:
            self._left = self._slice()
            self._work(now)
        seen = self.peek.read(data)
        if self._count % SAMPLE_EVERY == 0:
            self.ranks.learn(seen.money)
        rank = self.ranks.rank(seen.money)
        work_ms = self.work_ms
        if work_ms < STANDING_MS:
            self._last_short_ns = now
        standing = now - self._last_short_ns > STANDING_NS
        best_tier = self.tier_for(work_ms, age_ms, seen.deadline_ms, rank, standing=standing)
        if best_tier == REFUSED:
            self.refused += 1
            connection.transport.write(self.refusal.to(head))
            return
        if room:
            self._begin(connection, data, head, Admitted(arrived_ns, best_tier))
            return
        connection.busy = True
        self._units += COST[best_tier]
        self._queue.append(QueuedPayment(connection, data, head, arrived_ns, seen.deadline_ms, rank, best_tier))

    def _rejection(self, head: PlainHead) -> bytes | None:
        return None if self.reject is None else self.reject(head)

    @property
    def keyed(self) -> bool:
        """Whether callers need a key."""
        return self.reject is not None

    def _slot_is_free(self) -> bool:
        # With a late server no slot would become free: all begin, and are decided by amount at their deadlines.
        return self._in_use < self._slots or self.server_is_late()

    def _slice(self) -> float:
        """Units of one turn: never so few that reading the sockets costs more than deciding."""
        return max(SLICE_NS / self.unit_ns, MIN_SLICE)

    def _measure(self, elapsed_ns: int, units: float) -> None:
        """Average time and units separately: a delayed turn is weighted by its length."""
        kept = math.exp(-elapsed_ns / MEMORY_NS)
        self._measured_ns = self._measured_ns * kept + elapsed_ns
        self._measured_units = self._measured_units * kept + units
        self.unit_ns = min(max(self._measured_ns / self._measured_units, MIN_UNIT_NS), MAX_UNIT_NS)

    def _measure_idle(self, now: int) -> None:
        self._idle_units += self._begun
        if self._idle_units < IDLE_UNITS:
            return
        spent = self.thread_time_ns()
        if now - self._idle_since_ns < IDLE_NS:
            self._measure(spent - self._idle_thread_ns, self._idle_units)
        self._idle_since_ns, self._idle_thread_ns, self._idle_units = now, spent, 0.0

    def _begin(self, connection: QueuedConnection, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        cost = COST[admitted.best_tier]
        self._left -= cost
        self._begun += cost
        if admitted.best_tier != FULL:
            self.shed[admitted.best_tier] += 1
        if self.fast_path is None:
            connection.to_application(data, admitted)
        else:
            connection.to_fast_path(self.fast_path, data, head, admitted)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Once in each turn of the loop while there is work."""
        self._refresh_policy()
        now = self.now_ns()
        if self._was_waiting:
            self._measure(now - self._turn_ns, self._begun)
            self._slots = MIN_SLOTS + 2 * self.trip_ns() / self.unit_ns
            self._idle_since_ns = 0  # time measured here must not count again as idle
        else:
            self._measure_idle(now)
        # Turns are measured only while work is waiting: else the loop's idle time would count.
        self._turns_are_close = self._was_waiting and bool(self._queue) and now - self._turn_ns < BUSY_TURN_NS
        self._was_waiting = bool(self._queue)
        self._turn_scheduled = self._was_waiting and self._slot_is_free()
        self._turn_ns, self._begun, self._left = now, 0.0, self._slice()
        if not self._turn_scheduled:
            return
        try:
            self._work(now)
        finally:  # scheduled after the ledger's commit, so answers leave before more is decided
            loop.call_soon(self._turn, loop)

    def _work(self, now: int) -> None:
        """Begin waiting payments until the slice is used up."""
        while self._queue and self._left > 0.0 and self._slot_is_free():
            one = self._queue.popleft()
            best_tier = one.best_tier
            self._units = self._units - COST[best_tier] if self._queue else 0.0
            if one.connection.transport.is_closing():
                continue
            # Its wait may have lowered the tier that it can get; age alone never refuses.
            age_ms = (now - one.arrived_ns) * 1e-6
            if age_ms > AGE_THRESHOLD * one.deadline_ms:
                best_tier = max(best_tier, self.tier_for(0.0, age_ms, one.deadline_ms, one.rank), key=LADDER.index)
            self._begin(one.connection, one.data, one.head, Admitted(one.arrived_ns, best_tier))
        self._last_slice_ns = self.now_ns()  # the end of the slice: after a long one there must be time to read
