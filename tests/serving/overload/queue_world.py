"""A simulated machine whose payments go through an admission queue."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np

from serving.decision.evaluator import FULL
from serving.overload.admission_queue import AdmissionQueue
from serving.overload.load_shedding import REFUSED, Admitted
from serving.overload.plain_head import PlainHead
from serving.overload.queued_payment import DecideFast

NO_HEAD = PlainHead(0, 0, b"", None)
FULL_MS, SHORT_MS, REFUSE_MS, READ_MS = 0.25, 0.11, 0.012, 0.008


class World:
    """A machine with one core: its clock moves only by the work that is done, or to the next arrival."""

    def __init__(self, slow: float = 1.0) -> None:
        self.now_ms, self.slow, self.spent_ms = 0.0, slow, 0.0
        self.ready: deque[tuple[Callable[..., None], Any]] = deque()
        self.outcomes: list[tuple[float, str, float]] = []  # money, tier, milliseconds from arrival to answer
        self.queue = AdmissionQueue(lambda: int(self.now_ms * 1e6), lambda: int(self.spent_ms * 1e6))
        self.queue.fast_path = self.fast_path

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        self.ready.append((callback, arguments))

    def work(self, ms: float) -> None:
        self.now_ms += ms * self.slow
        self.spent_ms += ms * self.slow

    def fast_path(self, head: PlainHead, body: bytes, admitted: Admitted, take: Callable[[bytes], None]) -> None:
        """Never called: the connections below stand for it."""

    def run(self, arrivals: list[tuple[float, int]]) -> None:
        """Let payments (moment in ms, amount) arrive; as in a server, what came during work is read after it."""
        coming = deque(arrivals)
        while coming or self.ready or self.queue.waiting:
            if not self.ready and coming:
                self.now_ms = max(self.now_ms, coming[0][0])
            while coming and coming[0][0] <= self.now_ms:
                at_ms, amount = coming.popleft()
                self.work(READ_MS)
                data = b'{"amount_minor":%d,"currency":"INR"}' % amount
                connection: Any = Caller(self, at_ms, amount)
                self.queue.take(connection, data, NO_HEAD)
            for _ in range(len(self.ready)):
                callback, arguments = self.ready.popleft()
                callback(*arguments)

    def done(self, caller: Caller, tier: str) -> None:
        self.outcomes.append((caller.amount, tier, self.now_ms - caller.at_ms))


class Caller:
    """A connection with one payment, in the place of a real one."""

    def __init__(self, world: World, at_ms: float, amount: int) -> None:
        self.world, self.at_ms, self.amount = world, at_ms, amount
        self.loop = self.transport = self
        self.busy = False
        self.call_soon = world.call_soon

    def age_ms(self) -> float:
        return (self.world.now_ms - self.at_ms) // 4 * 4  # the kernel's clock goes in steps

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 503")
        self.world.work(REFUSE_MS)
        self.world.done(self, REFUSED)

    def to_application(self, data: bytes, admitted: Admitted) -> None:
        self.world.call_soon(self.finish, FULL_MS, FULL)

    def to_fast_path(self, fast_path: DecideFast, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        self.finish(SHORT_MS, admitted.best_tier)

    def finish(self, ms: float, tier: str) -> None:
        self.world.work(ms)
        self.world.done(self, tier)


def offered(times: float, seconds: float, seed: int = 1) -> list[tuple[float, int]]:
    """Arrivals at `times` what the world can do in full, with amounts of many sizes."""
    rng = np.random.default_rng(seed)
    step = (FULL_MS + READ_MS) / times
    count = int(seconds * 1_000 / step)
    return [(place * step, int(amount)) for place, amount in enumerate(rng.lognormal(10, 1.3, count))]


def tiers(world: World) -> Counter[str]:
    return Counter(tier for _, tier, _ in world.outcomes)
