"""A caller below its rate is not refused, however its requests fall on the processes; and the rate holds for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.redis_store import service_counts
from serving.shared_bounds.bounds import RESERVE
from tests.serving.servers import own_prefix
from tests.serving.shared_bounds.simulated import CLOCKED, Simulated, Split, Traffic, simulated

SPLITS: dict[str, Split] = {
    "one only": lambda at, dice, count: 0,
    "evenly at random": lambda at, dice, count: dice.randrange(count),
    "mostly one": lambda at, dice, count: 0 if dice.random() < 0.8 else dice.randrange(count),
    "one after another": lambda at, dice, count: int(at) // 2 % count,
    "unequal": lambda at, dice, count: min(dice.randrange(count), dice.randrange(count)),
}
RATES = st.one_of(st.integers(1, 12), st.integers(1, 200))
COUNTS, SEEDS, HOW = st.integers(1, 8), st.integers(0, 2**32), st.sampled_from(sorted(SPLITS))


@pytest.fixture(autouse=True, scope="module")
def clocked() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_counts, "SHARE", CLOCKED)
        yield


def traffic(urls: tuple[str, str], count: int, seed: int, send: Callable[[Simulated], Awaitable[Traffic]]) -> Traffic:
    """What `count` processes did with what one caller sent."""

    async def run(prefix: str) -> Traffic:
        async with AsyncExitStack() as stack:
            return await send(await simulated(urls[0], prefix, count, seed, stack))

    with own_prefix(urls[0]) as prefix:
        return asyncio.run(run(prefix))


@settings(max_examples=30, deadline=None)
@given(RATES, COUNTS, HOW, SEEDS)
@example(74, 7, "one after another", 2)
@example(200, 8, "one after another", 3)
@example(1, 8, "evenly at random", 4)
def test_an_evenly_paced_caller_below_its_rate_is_not_refused(
    server_urls: tuple[str, str], rate: int, count: int, how: str, seed: int
) -> None:
    seconds = 6.0 if rate > 5 else 15.0
    sent = traffic(server_urls, count, seed, lambda world: world.send(rate, 0.8 * rate, seconds, SPLITS[how]))
    assert sent.refused_after(1.0) == 0


@settings(max_examples=20, deadline=None)
@given(RATES, COUNTS, HOW, st.floats(1.0, 30.0), SEEDS)
@example(100, 1, "one only", 30.0, 1)
@example(100, 2, "evenly at random", 30.0, 1)
def test_no_window_holds_more_than_a_tenth_above_the_rate_and_one_request_per_process(
    server_urls: tuple[str, str], rate: int, count: int, how: str, times: float, seed: int
) -> None:
    async def send(world: Simulated) -> Traffic:
        await world.send(rate, 0.8 * rate, 2.0, SPLITS["evenly at random"])
        await world.until(world.now + 3.0)
        return await world.send(rate, times * rate, 6.0, SPLITS[how])

    sent = traffic(server_urls, count, seed, send)
    assert sent.excess(rate, count) <= 0
    assert len(sent.allowed) >= 0.8 * 6.0 * rate - 1


@settings(max_examples=15, deadline=None)
@given(RATES, st.integers(2, 8), HOW, st.floats(1.0, 6.0), SEEDS)
def test_a_process_that_does_not_reach_redis_makes_no_rate_looser(
    server_urls: tuple[str, str], rate: int, count: int, how: str, times: float, seed: int
) -> None:
    async def send(world: Simulated) -> Traffic:
        await world.send(rate, times * rate, 1.0, SPLITS[how])
        world.away.add(0)
        begins = world.now
        sent = await world.send(rate, times * rate, 6.0, SPLITS[how])
        world.away.clear()
        gone = world.now - begins
        after = await world.send(rate, times * rate, 4.0, SPLITS[how])
        sent.allowed += [at + gone for at in after.allowed]
        return sent

    assert traffic(server_urls, count, seed, send).excess(rate, count) <= 0


@pytest.mark.parametrize(("rate", "per_second"), [(5, 2.0), (50, 25.0), (1, 0.5)])
def test_half_a_rate_passes_while_the_fraction_of_a_killed_process_is_held(
    server_urls: tuple[str, str], rate: int, per_second: float
) -> None:
    async def send(world: Simulated) -> Traffic:
        world.away.add(1)
        await world.until(world.now + 3.0)
        return await world.send(rate, per_second, 12.0, SPLITS["one only"])

    assert traffic(server_urls, 2, 1, send).refused == []


@settings(max_examples=10, deadline=None)
@given(RATES, st.integers(1, 4), SEEDS)
@example(200, 1, 1)
def test_a_process_that_joins_makes_no_rate_looser(
    server_urls: tuple[str, str], rate: int, count: int, seed: int
) -> None:
    async def send(world: Simulated) -> Traffic:
        begins, sent = world.now, Traffic()
        steps: list[tuple[float, Split]] = [
            (0.6, lambda at, dice, count: dice.randrange(count - 1)),
            (0.5, lambda at, dice, count: count - 1),
            (1.0, SPLITS["unequal"]),
        ]
        await world.send(rate, 0.8 * rate, 2.0, SPLITS["evenly at random"])
        for _ in range(3):
            await world.until(world.now + 3.0)
            await world.join()
            for seconds, split in steps:
                at = world.now - begins
                some = await world.send(rate, 10.0 * rate, seconds, split)
                sent.allowed += [at + one for one in some.allowed]
        return sent

    assert traffic(server_urls, count, seed, send).excess(rate, count + 3) <= 0


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 200), st.integers(1, 4), SEEDS)
def test_bursts_of_twice_the_rate_get_the_rate(server_urls: tuple[str, str], rate: int, count: int, seed: int) -> None:
    async def send(world: Simulated) -> Traffic:
        sent, favourite = Traffic(), 0
        for tick in range(120):
            if tick % 30 == 0:
                favourite = world.dice.randrange(count)
            for _ in range(rate // 3 + 1):
                number = favourite if world.dice.random() < 0.8 else world.dice.randrange(count)
                refused = world.found[number].limiter.take("till", rate)
                (sent.refused if refused else sent.allowed).append(tick / 6)
            await world.until(world.now + 1 / 6)
        return sent

    passed = len(traffic(server_urls, count, seed, send).allowed)
    assert 0.5 * rate * 20 <= passed <= (1 + RESERVE) * rate * 20 + rate + count


def test_a_caller_on_one_connection_gets_the_whole_rate(server_urls: tuple[str, str]) -> None:
    sent = traffic(server_urls, 4, 1, lambda world: world.send(60, 90.0, 20.0, SPLITS["one only"]))
    assert 0.97 * 600 <= sum(at >= 10.0 for at in sent.allowed) <= 600 * (1 + RESERVE)
