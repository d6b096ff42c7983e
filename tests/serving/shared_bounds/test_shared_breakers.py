"""Breakers judge the traffic of the whole service: what opens on one process opens on all."""

from __future__ import annotations

import asyncio

from serving.decision.breaker import LEAST_DECLINES, MOST_TOLD, SLOT_MS, Breakers, Counted
from serving.shared_bounds.declines import decode_counted
from tests.serving.decision.test_concentration import paid
from tests.serving.servers import own_prefix
from tests.serving.shared_bounds.workers import BASELINE, Worker, workers


async def told(found: list[Worker]) -> None:
    """One exchange of everybody, twice: each hears what the others said in the first."""
    for _ in range(2):
        for one in found:
            await one.exchange.once()


def test_declines_that_are_few_on_each_process_open_the_breaker_of_all(server_urls: tuple[str, str]) -> None:
    async def run(prefix: str) -> None:
        async with workers(server_urls[0], prefix, 3) as found:
            for one in found:
                for _ in range(LEAST_DECLINES // 3):
                    one.breakers.observe(one.wall_ms, ("model",), paid())
                assert one.breakers.open == ()
            await told(found)
            assert [one.breakers.open for one in found] == [("model",)] * 3
            assert len({one.breakers.now("model") for one in found}) == 1

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))


def test_the_declines_of_one_device_over_all_processes_open_nothing(server_urls: tuple[str, str]) -> None:
    async def run(prefix: str) -> None:
        async with workers(server_urls[0], prefix, 8) as found:
            for _ in range(20):
                for one in found:
                    for _ in range(10):
                        one.breakers.observe(one.wall_ms, ("model",), paid(device_id="evil"))
                await told(found)
            assert [one.breakers.open for one in found] == [()] * 8

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))


def test_payments_elsewhere_teach_the_baseline_and_calm_the_breaker(server_urls: tuple[str, str]) -> None:
    async def run(prefix: str) -> None:
        async with workers(server_urls[0], prefix, 2) as (busy, idle):
            for _ in range(20):
                for number in range(200):
                    busy.breakers.observe(busy.wall_ms, ("model",) if number % 50 == 0 else (), paid())
                await told([busy, idle])
                for one in (busy, idle):
                    one.wall_ms += SLOT_MS
            assert idle.breakers.usual("model") == busy.breakers.usual("model") != BASELINE["model"]

    with own_prefix(server_urls[0]) as prefix:
        asyncio.run(run(prefix))


def test_a_process_that_tells_nobody_keeps_little_and_an_unknown_batch_counts_nothing() -> None:
    breakers = Breakers(("model",), BASELINE)
    for _ in range(3 * MOST_TOLD):
        breakers.observe(1_800_000_000_000, ("model",), paid())
    payments, declines = breakers.take_counted()
    assert (payments, len(declines)) == (3 * MOST_TOLD, MOST_TOLD)
    assert breakers.take_counted() == Counted(0, [])
    assert decode_counted(b"\xc1 of another release") == Counted(0, [])
