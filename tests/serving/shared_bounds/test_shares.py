"""The processes of a service keep each bound together, whatever they ask in whatever order."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.decision.exposure import MINUTE_MS
from serving.shared_bounds.bounds import RESERVE
from tests.serving.servers import own_prefix
from tests.serving.shared_bounds.workers import Worker, workers

AT_MS = 100 * MINUTE_MS
BOUND = 100_000


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**32), st.integers(1, 30_000), st.integers(1, 10))
def test_the_exposure_of_a_minute_is_never_more_than_a_tenth_above_the_bound(
    server_urls: tuple[str, str], count: int, seed: int, largest: int, per_exchange: int
) -> None:
    dice, approved = random.Random(seed), 0

    async def run(prefix: str) -> None:
        nonlocal approved
        async with workers(server_urls[0], prefix, count, BOUND) as found:
            favourite = dice.choice(found)
            for _ in range(60):
                for _ in range(per_exchange):
                    one = favourite if dice.random() < 0.5 else dice.choice(found)
                    approved += one.approve(AT_MS, dice.randint(1, largest))
                await dice.choice(found).exchange.once()

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))
    assert approved <= (1 + RESERVE) * BOUND


def test_a_process_that_has_all_the_traffic_gets_nearly_all_of_the_bound_within_a_second(
    server_urls: tuple[str, str],
) -> None:
    approved = 0

    async def run(prefix: str) -> None:
        nonlocal approved
        async with workers(server_urls[0], prefix, 4, BOUND) as found:
            for _ in range(6):  # exchanges in a second
                for _ in range(100):
                    approved += found[0].approve(AT_MS, 500)
                for one in found:
                    await one.exchange.once()
            for _ in range(100):
                approved += found[0].approve(AT_MS, 500)

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))
    assert 0.85 * BOUND <= approved <= BOUND


def test_a_new_minute_begins_with_the_whole_bound(server_urls: tuple[str, str]) -> None:
    async def run(prefix: str) -> None:
        async with workers(server_urls[0], prefix, 2, BOUND) as found:
            for minute in range(3):
                at_ms = AT_MS + minute * MINUTE_MS
                assert [one.approve(at_ms, BOUND // 2) for one in found] == [BOUND // 2] * 2
                assert [one.approve(at_ms, 1) for one in found] == [0, 0]
                for one in found:
                    await one.exchange.once()

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))


def test_without_redis_each_process_keeps_to_its_part_and_together_they_keep_the_bound(
    server_urls: tuple[str, str],
) -> None:
    approved = {0: 0, 1: 0}

    async def run(prefix: str) -> None:
        async with workers(server_urls[0], prefix, 3, BOUND) as found:
            for _ in range(3):
                for _ in range(40):
                    approved[0] += found[0].approve(AT_MS, 500)
                for one in found:
                    await one.exchange.once()
            for one in found:
                one.state.connection.close()  # type: ignore[union-attr]
            for minute in approved:
                for _ in range(300):
                    for one in found:
                        approved[minute] += one.approve(AT_MS + minute * MINUTE_MS, 500)
                for one in found:
                    await one.exchange.once()
                    assert one.exchange.alone

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))
    assert 0.9 * BOUND <= approved[0] <= (1 + RESERVE) * BOUND
    assert 0.9 * BOUND <= approved[1] <= BOUND


def test_fractions_add_up_to_one_while_processes_come_and_go(server_urls: tuple[str, str]) -> None:
    def total(found: list[Worker]) -> float:
        return sum(one.bounds.fraction for one in found)

    async def run(prefix: str) -> None:
        async with workers(server_urls[0], prefix, 2) as (first, second):
            await asyncio.sleep(1.0)  # the first second of a service, in which it does not know who else is there
            for one in (first, second):
                await one.exchange.once()
            assert (first.bounds.fraction, second.bounds.fraction) == (0.5, 0.5)
            async with workers(server_urls[0], prefix, 1) as (third,):
                assert third.bounds.fraction == 0.0
                for one in (first, second, third, first, second, third):
                    await one.exchange.once()
                    assert total([first, second, third]) <= 1.0 + 1e-9
                assert third.bounds.fraction == pytest.approx(1 / 3)
                await third.exchange.end()
            for one in (first, second, first):
                await one.exchange.once()
            assert total([first, second]) == pytest.approx(1.0)

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))


def test_the_part_of_a_process_that_is_away_stays_reserved_for_it(server_urls: tuple[str, str]) -> None:
    async def run(prefix: str) -> None:
        async with workers(server_urls[0], prefix, 2) as (here, away):
            await asyncio.sleep(1.7)
            await here.exchange.once()
            assert here.bounds.fraction == away.bounds.fraction == 0.5

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))
