"""The admission queue in simulated time: bounded waits, large amounts first, nothing refused without need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from features.bundle.bundle import read_bundle
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY
from serving.overload.admission_queue import MIN_SLOTS
from serving.overload.load_shedding import LADDER, REFUSED, Admitted
from serving.overload.plain_head import PlainHead
from serving.overload.queued_payment import DecideFast
from tests.serving.overload.queue_world import FULL_MS, NO_HEAD, READ_MS, SHORT_MS, Caller, World, offered, tiers


def test_below_saturation_everybody_gets_the_full_tier() -> None:
    world = World()
    world.run(offered(0.9, 3.0))
    assert set(tiers(world)) == {FULL}


def test_at_one_and_a_half_times_saturation_everybody_is_decided_in_time_and_the_dear_in_full() -> None:
    world = World()
    world.run(offered(1.5, 5.0))
    found = tiers(world)
    assert found[REFUSED] == 0
    assert max(ms for _, _, ms in world.outcomes) < 100
    assert found[FULL] > 0.3 * len(world.outcomes)
    settled = world.outcomes[2_000:]
    cut = np.quantile([amount for amount, _, _ in settled], 0.8)
    dear = [tier for amount, tier, _ in settled if amount >= cut]
    assert dear.count(FULL) > 0.97 * len(dear)
    assert min(ms for amount, tier, ms in settled if tier == FULL) >= 0


@pytest.mark.parametrize("times", [3.0, 6.0])
def test_far_past_saturation_nothing_collapses(times: float) -> None:
    world = World()
    world.run(offered(times, 5.0))
    found = tiers(world)
    answered = len(world.outcomes) - found[REFUSED]
    assert answered / 5.0 >= 0.95 * 1_000 / (FULL_MS + READ_MS), "the answered rate must not fall below saturation"
    assert max(ms for _, _, ms in world.outcomes) < 100
    refused = [ms for _, tier, ms in world.outcomes if tier == REFUSED]
    assert np.quantile(refused, 0.99) < 15, "who is refused is refused at once"
    rich = np.quantile([amount for amount, _, _ in world.outcomes], 0.9)
    assert sum(t == REFUSED for a, t, _ in world.outcomes[500:] if a >= rich) <= 0.25 * found[REFUSED]


def test_a_machine_that_gets_slower_is_noticed() -> None:
    world = World()
    world.run(offered(1.2, 1.0))
    fast_ns = world.queue.unit_ns
    slow = World(slow=3.0)
    slow.run(offered(1.0, 3.0))
    assert slow.queue.unit_ns > 2 * fast_ns
    assert max(ms for _, _, ms in slow.outcomes) < 100


@pytest.mark.parametrize("slow", [1.0, 4.0])
def test_what_a_payment_takes_is_known_before_the_first_rush(slow: float) -> None:
    world = World(slow)
    world.run(offered(0.8 / slow, 1.0))
    assert (tiers(world)[FULL], world.queue.waiting) == (len(world.outcomes), 0)
    took_ns = (SHORT_MS + READ_MS) * slow * 1e6  # this world has but one cost
    assert world.queue.unit_ns == pytest.approx(took_ns, rel=0.1)


def test_a_few_payments_beside_other_work_teach_nothing() -> None:
    world = World()
    guessed = world.queue.unit_ns
    for place in range(200):
        world.run([(place * 20.0, 100)])
        world.work(5.0)
    assert world.queue.unit_ns == guessed


def test_when_the_load_ends_the_full_tier_comes_back_at_once() -> None:
    world = World()
    first = offered(3.0, 1.0)
    after = [(1_200.0 + place * 1.0, 100) for place in range(200)]
    world.run(first + after)
    assert {tier for _, tier, _ in world.outcomes[-200:]} == {FULL}


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 10**7)), min_size=1, max_size=400), st.floats(0.5, 20))
@settings(max_examples=40)
def test_every_payment_gets_exactly_one_answer_and_the_account_ends_at_zero(
    steps: list[tuple[float, int]], slow: float
) -> None:
    world, now, arrivals = World(slow), 0.0, []
    for step, amount in steps:
        now += step
        arrivals.append((now, amount))
    world.run(arrivals)
    assert len(world.outcomes) == len(arrivals)
    assert sorted(amount for amount, _, _ in world.outcomes) == sorted(amount for _, amount in arrivals)
    assert world.queue.waiting == 0
    assert world.queue.work_ms == 0.0
    assert set(tiers(world)) <= set(LADDER)


def test_a_bundle_that_succeeds_brings_its_own_idea_of_what_is_dear(bundle: Path) -> None:
    first = read_bundle(bundle)
    second = replace(first, policy=replace(first.policy, channel_risk={"pos": 0.5}))
    world, served = World(), [first]
    world.queue.serve(1_000, lambda: served[-1], world.fast_path, ())
    body = b'{"amount_minor":800,"currency":"INR","channel":"pos"}'
    assert world.queue.peek.read(body).money == 800
    served.append(second)
    world.run([(0.0, 100), (1.0, 100)])
    assert world.queue.peek.read(body).money == 400


def test_the_names_of_the_ladder() -> None:
    assert LADDER == (FULL, RULES_ONLY, DEFAULT, REFUSED)


class Line:
    """A connection that keeps what it was told and never finishes."""

    def __init__(self, world: World) -> None:
        self.loop: Any = world
        self.transport: Any = self
        self.busy = False
        self.written: list[bytes] = []

    def age_ms(self) -> float:
        return 0.0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def to_application(self, data: bytes, admitted: Admitted) -> None:
        """Begun."""

    def to_fast_path(self, fast_path: DecideFast, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        """Begun."""


def test_a_stranger_takes_no_place_in_the_queue_however_dear_the_payment() -> None:
    world = World()
    queue = world.queue
    queue.reject = lambda head: None if head.authorization == b"Bearer good" else b"HTTP/1.1 401 Unauthorized"
    body = b'{"amount_minor":%d,"currency":"INR","deadline_ms":5000}'

    def take(key: bytes, amount: int) -> Line:
        line = Line(world)
        queue.take(line, body % amount, PlainHead(0, 0, b"", b"Bearer " + key))
        return line

    while not queue.waiting:
        assert take(b"good", 100).written == []
    waiting = queue.waiting
    for _ in range(50):
        assert take(b"bad", 10**11).written == [b"HTTP/1.1 401 Unauthorized"]
    assert queue.waiting == waiting
    assert take(b"good", 100).written == []
    assert queue.waiting == waiting + 1


class Remote(Caller):
    """A payment that waits for a server once it is begun."""

    def to_fast_path(self, fast_path: DecideFast, data: bytes, head: PlainHead, admitted: Admitted) -> None:
        self.world.queue.acquire_slot()


def arrive(world: World, count: int) -> None:
    for _ in range(count):
        world.queue.take(Remote(world, world.now_ms, 100), b'{"amount_minor":100,"currency":"INR"}', NO_HEAD)


def turn(world: World) -> None:
    for _ in range(len(world.ready)):
        callback, arguments = world.ready.popleft()
        callback(*arguments)


def test_behind_a_server_only_so_many_are_begun_and_the_others_wait_where_they_can_be_judged() -> None:
    world = World()
    queue = world.queue
    queue.unit_ns = 1.0  # a slice is no bound here

    arrive(world, MIN_SLOTS + 30)
    turn(world)
    assert queue.waiting == 30
    assert not world.ready, "nobody may begin: the loop rests until the server answers"
    queue.release_slot(world)
    turn(world)
    assert queue.waiting == 29
    queue.server_is_late = lambda: True
    arrive(world, 1)
    for _ in range(3):
        turn(world)
    assert queue.waiting == 0, "behind a late server all begin, and are decided at their deadlines"


def test_time_that_passes_behind_a_server_counts_as_work_and_a_long_way_to_it_lets_more_begin() -> None:
    world = World()
    queue = world.queue

    arrive(world, 300)
    for _ in range(400):
        world.work(1.0)  # a millisecond for each, though this process does next to nothing
        arrive(world, 1)
        queue.release_slot(world)
        while world.ready:  # until the queue stands again
            turn(world)
    assert 0.8e6 < queue.unit_ns < 1.5e6
    assert queue._in_use == MIN_SLOTS
    queue.trip_ns = lambda: 50_000_000
    for _ in range(100):
        arrive(world, 1)
        turn(world)
    assert MIN_SLOTS + 60 < queue._in_use < MIN_SLOTS + 140
