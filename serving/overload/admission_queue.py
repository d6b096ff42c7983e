"""The payments that wait to be decided, and the account of how long the work in them will take.

Each turn of the event loop decides a slice of them and then looks at the sockets again. What a payment may
still get is judged when it arrives, by the work before it, and once more when its turn comes, by its age.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from features.bundle.bundle import Bundle
from features.catalogue.catalogue import catalogue_of
from serving.api.asgi import JSON, json_reply, raw_reply
from serving.decision.evaluator import DEFAULT, FULL
from serving.messages import Error, ErrorBody
from serving.overload.load_shedding import COST, LADDER, PATIENCE, REFUSED, Admitted, Eye, Ranks, tier_for
from serving.overload.plain_head import PlainHead
from serving.server.headers import ALWAYS, Header

#: Work of one turn of the event loop; after it the sockets are looked at again.
SLICE_NS = 5_000_000
#: What one full decision takes until it was measured, and bounds of what is believed.
FIRST_UNIT_NS, LEAST_UNIT_NS, MOST_UNIT_NS = 200_000.0, 20_000.0, 20_000_000.0
#: How long a measurement of that counts.
MEMORY_NS = 200_000_000.0
#: While nobody waits it is learned from the processor time of so many payments, if they came within so long: a service
#: that believed its first guess until it was behind refused the first tenths of a second of a rush.
CALM_UNITS, CALM_NS = 32, 64_000_000
LEAST_SLICE = 8.0
#: From one payment in so many it is learned what is dear.
SAMPLE = 4
#: The kernel tells ages in steps of its clock, up to 4 ms: what is younger has not waited.
FRESH_MS = 5.0
#: While turns follow each other this closely, what is read came in the latest; asking the kernel took a tenth of
#: the processor.
CLOSE_NS = 20_000_000
#: Reading and refusing for so long, the service decides a slice in between: who waits has a deadline.
READ_NS = 8_000_000
#: More work than this that never went away for so long is a standing queue: it only makes everybody wait.
STANDING_MS, STANDING_NS = 20.0, 500_000_000
#: Payments under way at once where deciding waits for a server that answers: enough to share its trips, and as many
#: again as are begun during two usual ones. The others wait here, where what they may still get is judged; begun,
#: they could only be late.
MOST_UNDER_WAY = 40

REFUSAL = Error(
    ErrorBody(
        "overloaded",
        "More payments arrive than can be decided in time.",
        "Apply your own default and send less, or send again in a second.",
    )
)


def refusal_of(always: tuple[Header, ...]) -> bytes:
    """The whole reply to a refused payment, made once."""
    return raw_reply(json_reply(REFUSAL, 503, (JSON, (b"retry-after", b"1"))), always)


#: The whole reply to a caller who may not come, by what its `authorization` says; None for one who may.
TurnAway = Callable[[bytes | None], bytes | None]
#: Decides a payment the short way: (key, body, admitted, what takes the whole reply).
ShortWay = Callable[[bytes | None, bytes, Admitted, Callable[[bytes], None]], None]


class Connection(Protocol):
    """What the backlog asks of a connection."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    waits: bool

    def age_ms(self) -> float:
        """How long what was read last had waited in the kernel."""

    def go_on(self, data: bytes, admitted: Admitted) -> None:
        """Let a payment go the ordinary way."""

    def go_short(self, short_way: ShortWay, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        """Decide a payment the short way."""


class Waiting(msgspec.Struct, frozen=True):
    """A payment in the queue."""

    connection: Connection
    data: bytes
    head: PlainHead
    arrived_ns: int
    deadline_ms: int
    rank: float
    most: str


class Backlog:
    """The queue of one process."""

    def __init__(
        self,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        spent_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self.now_ns = now_ns
        self.spent_ns = spent_ns  # the processor time of the thread that decides
        self.eye = Eye(None, {})  # until a bundle is served, amounts count as they are sent
        self.ranks = Ranks()
        self.short_way: ShortWay | None = None
        self.turn_away: TurnAway | None = None  # None: everybody may come
        self.body_limit_bytes = 65_536
        self.leaving = False  # the process stops: every request goes the ordinary way, which ends connections
        self.unit_ns = FIRST_UNIT_NS
        self.refusal = refusal_of(ALWAYS)
        self.refused = 0
        self.shed = dict.fromkeys(COST, 0)
        self._bundle_now: Callable[[], Bundle] | None = None
        self._bundle: Bundle | None = None
        self._queue: deque[Waiting] = deque()
        self._units = 0.0  # of what waits
        self._left = 0.0  # units that this turn may still begin
        self._begun = 0.0  # units begun in this turn
        self._turning = False
        self._turn_ns = 0
        self._close = False  # turns follow each other closely
        self._worked_ns = 0
        self._short_ns = 0  # when the queue was short last
        self._under_way = 0
        self._most_under_way = float(MOST_UNDER_WAY)
        self.server_is_late: Callable[[], bool] = lambda: False
        self.trip_ns: Callable[[], int] = lambda: 0  # a usual trip to that server
        self._past_ns, self._past_units = MEMORY_NS / 4, MEMORY_NS / 4 / FIRST_UNIT_NS
        self._behind = False
        self._calm_ns = self._calm_spent_ns = 0  # since when, and from what processor time, `_calm_units` began
        self._calm_units = 0.0
        self._count = 0

    def serve(
        self,
        body_limit_bytes: int,
        bundle: Callable[[], Bundle],
        short_way: ShortWay | None,
        always: tuple[Header, ...],
    ) -> None:
        """Know what the service allows and what its policy finds dear."""
        self.body_limit_bytes = body_limit_bytes
        self._bundle_now = bundle
        self._look_again()
        self.short_way = short_way
        self.refusal = refusal_of(always)

    def _look_again(self) -> None:
        """See with the eyes of the bundle that decides now: another may have succeeded it."""
        if self._bundle_now is None or (bundle := self._bundle_now()) is self._bundle:
            return
        self._bundle = bundle
        reference = catalogue_of(bundle.contract).parameters.reference_currency
        self.eye = Eye(reference, bundle.policy.channel_risk)

    def goes_on(self) -> None:
        """A payment waits for a server from here on: it counts as under way until `ended`."""
        self._under_way += 1

    def ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """A payment that was under way is answered."""
        self._under_way -= 1
        if self._queue and not self._turning:
            self._turning = True
            loop.call_soon(self._turn, loop)

    @property
    def waiting(self) -> int:
        """Payments that wait."""
        return len(self._queue)

    @property
    def work_ms(self) -> float:
        """How long the work that waits or is under way will take, milliseconds."""
        return (self._units + self._under_way * COST[DEFAULT]) * self.unit_ns * 1e-6

    def take(self, connection: Connection, data: bytes, head: PlainHead) -> None:
        """Begin with a payment now, let it wait, or refuse it."""
        now = self.now_ns()
        # It came since the sockets were read before this turn: on average when the turn began.
        since_ns = now - self._turn_ns
        age_ms = since_ns * 1e-6 if self._close and since_ns < CLOSE_NS else connection.age_ms()
        arrived_ns = now - int(age_ms * 1e6)
        self._count += 1
        if not self._turning:
            self._turning = True
            if not self._queue:  # else it stood still behind a server, and that time counts
                self._left, self._begun, self._turn_ns = self._slice(), 0.0, now
            connection.loop.call_soon(self._turn, connection.loop)
        room = self._left > 0.0 and not self._queue and self._may_begin()
        if room and age_ms < FRESH_MS:
            if self._count % SAMPLE == 0 and self._away(head) is None:
                self.ranks.learn(self.eye.glance(data).money)
            self._begin(connection, data, head, Admitted(arrived_ns, FULL))
            return
        # Who may not come takes no place from who may, whatever money is spoken of.
        if (reply := self._away(head)) is not None:
            connection.transport.write(reply)
            return
        if now - self._worked_ns > READ_NS and self._queue:
            self._left = self._slice()
            self._work(now)
        seen = self.eye.glance(data)
        if self._count % SAMPLE == 0:
            self.ranks.learn(seen.money)
        rank = self.ranks.rank(seen.money)
        work_ms = self.work_ms
        if work_ms < STANDING_MS:
            self._short_ns = now
        most = tier_for(work_ms, age_ms, seen.deadline_ms, rank, standing=now - self._short_ns > STANDING_NS)
        if most == REFUSED:
            self.refused += 1
            connection.transport.write(self.refusal)
            return
        if room:
            self._begin(connection, data, head, Admitted(arrived_ns, most))
            return
        connection.waits = True
        self._units += COST[most]
        self._queue.append(Waiting(connection, data, head, arrived_ns, seen.deadline_ms, rank, most))

    def _away(self, head: PlainHead) -> bytes | None:
        return None if self.turn_away is None else self.turn_away(head.authorization)

    @property
    def keyed(self) -> bool:
        """Whether callers need a key."""
        return self.turn_away is not None

    def _may_begin(self) -> bool:
        # Behind a server that is late nobody would ever get a turn: all begin, and are decided at their deadlines.
        return self._under_way < self._most_under_way or self.server_is_late()

    def _slice(self) -> float:
        """Units of one turn: never so few that looking at the sockets costs more than they do."""
        return max(SLICE_NS / self.unit_ns, LEAST_SLICE)

    def _learn(self, elapsed_ns: int, units: float) -> None:
        """Times and units are kept apart: a turn that was held up counts by its length, not as a rate of its own."""
        kept = math.exp(-elapsed_ns / MEMORY_NS)
        self._past_ns = self._past_ns * kept + elapsed_ns
        self._past_units = self._past_units * kept + units
        self.unit_ns = min(max(self._past_ns / self._past_units, LEAST_UNIT_NS), MOST_UNIT_NS)

    def _learn_calmly(self, now: int) -> None:
        self._calm_units += self._begun
        if self._calm_units < CALM_UNITS:
            return
        spent = self.spent_ns()
        if now - self._calm_ns < CALM_NS:
            self._learn(spent - self._calm_spent_ns, self._calm_units)
        self._calm_ns, self._calm_spent_ns, self._calm_units = now, spent, 0.0

    def _begin(self, connection: Connection, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        cost = COST[admitted.most]
        self._left -= cost
        self._begun += cost
        if admitted.most != FULL:
            self.shed[admitted.most] += 1
        if self.short_way is None:
            connection.go_on(data, admitted)
        else:
            connection.go_short(self.short_way, data, head, admitted)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Once in each turn of the loop while there is work."""
        self._look_again()
        now = self.now_ns()
        if self._behind:
            self._learn(now - self._turn_ns, self._begun)
            self._most_under_way = MOST_UNDER_WAY + 2 * self.trip_ns() / self.unit_ns
            self._calm_ns = 0  # what is measured while some wait does not count twice
        else:
            self._learn_calmly(now)
        # Measured only while work always waits: else the loop's idle time would count.
        self._close = self._behind and bool(self._queue) and now - self._turn_ns < CLOSE_NS
        self._behind = bool(self._queue)
        self._turning = self._behind and self._may_begin()
        self._turn_ns, self._begun, self._left = now, 0.0, self._slice()
        if not self._turning:
            return
        try:
            self._work(now)
        finally:  # after what the ledger was given: it is written, and answered, before more is decided
            loop.call_soon(self._turn, loop)

    def _work(self, now: int) -> None:
        """Decide what may still begin."""
        while self._queue and self._left > 0.0 and self._may_begin():
            one = self._queue.popleft()
            most = one.most
            self._units = self._units - COST[most] if self._queue else 0.0
            if one.connection.transport.is_closing():
                continue
            # What it has waited by now may leave it less than was thought; age alone never refuses.
            age_ms = (now - one.arrived_ns) * 1e-6
            if age_ms > PATIENCE * one.deadline_ms:
                most = max(most, tier_for(0.0, age_ms, one.deadline_ms, one.rank), key=LADDER.index)
            self._begin(one.connection, one.data, one.head, Admitted(one.arrived_ns, most))
        self._worked_ns = self.now_ns()  # its end: counted from the beginning, a long slice would leave no time to read
