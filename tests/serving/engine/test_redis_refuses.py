"""A Redis that answers and takes no writes, or holds other state than it did: shown, and nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from serving.decision.evaluator import DEFAULT, FULL
from serving.engine.clustered.engine import RedisEngine
from serving.engine.clustered.health import Health
from serving.engine.clustered.outbox import outbox as outbox_module
from serving.engine.clustered.startup_checks import contract_of
from serving.errors import StateUnavailable
from serving.redis_store.connection import RedisConnection, address_of
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.servers import PrivateRedis


@pytest.fixture
def shared(server: PrivateRedis, bundle: Path, tmp_path: Path) -> Shared:
    return Shared(server.url, "rg", bundle, tmp_path)


@contextlib.asynccontextmanager
async def marked_worker(shared: Shared) -> AsyncIterator[tuple[RedisEngine, Health]]:
    """A worker that expects the mark of the state, as in production."""
    async with shared.worker() as engine:
        contract = contract_of(engine.decider.features_hash)
        await engine.state.exchange(engine.state.keys.contract, b"", contract)
        engine.state.expect(contract)
        engine.outbox.keep_in(shared.settings.var / "outbox", engine.strings.entry, lambda _: False)
        yield engine, Health(engine)
        engine.outbox.close()


async def seen_by(health: Health) -> str:
    with contextlib.suppress(StateUnavailable):
        await health.look()
    return health.state()


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def drained(engine: RedisEngine) -> None:
    await until(lambda: not len(engine.outbox) and engine.state.works)


def test_out_of_memory_is_told_without_a_payment_and_ends_by_itself(shared: Shared) -> None:
    async def run() -> None:
        async with marked_worker(shared) as (engine, health):
            assert (await answer_of(engine, shared.payment("t-0"))).tier == FULL
            assert await seen_by(health) == ""
            shared.client.config_set("maxmemory", "1")
            shown = await seen_by(health)
            assert "OOM" in shown
            assert "maxmemory" in shown
            refused = await answer_of(engine, shared.payment("t-1"))
            assert (refused.tier, refused.receipt_id) == (DEFAULT, None)
            assert "1 of the last 1 payments" in await seen_by(health) or "OOM" in health.state()
            shared.client.config_set("maxmemory", "0")
            await drained(engine)
            assert await seen_by(health) == ""
            assert (await answer_of(engine, shared.payment("t-1"))).receipt_id is not None

    asyncio.run(run())
    assert shared.verified().differences == []
    assert shared.live_state() == shared.rebuilt_state()


def test_after_flushall_not_one_payment_is_decided_from_empty_state(shared: Shared) -> None:
    async def run() -> None:
        async with marked_worker(shared) as (engine, health):
            assert (await answer_of(engine, shared.payment("t-0"))).tier == FULL
            contract = shared.client.get(shared.keys.contract)
            shared.client.flushall()
            for number in range(1, 4):
                answer = await answer_of(engine, shared.payment(f"t-{number}"))
                assert (answer.tier, answer.missing) == (DEFAULT, ("state", "model"))
            assert "does not hold the state" in health.state()
            assert not list(shared.client.scan_iter("rg:{*")), "something was folded into a state that is not there"
            shared.client.set(shared.keys.contract, contract)
            engine.state.trusted = True  # as the look of the next second finds
            await drained(engine)
            assert (await answer_of(engine, shared.payment("t-4"))).tier == FULL

    asyncio.run(run())


def test_a_demoted_primary_is_left_and_the_new_one_is_found(
    shared: Shared, server: PrivateRedis, tmp_path: Path
) -> None:
    other = PrivateRedis(tmp_path / "other")

    async def run() -> None:
        async with marked_worker(shared) as (engine, health):
            await answer_of(engine, shared.payment("t-0"))
            other_client = redis.Redis.from_url(other.url)
            other_client.replicaof("127.0.0.1", str(server.port))
            await until(lambda: other_client.xlen(shared.keys.events) == 2)
            other_client.replicaof("no", "one")
            shared.client.replicaof("127.0.0.1", str(other.port))
            began = time.monotonic()
            while not await seen_by(health):
                assert time.monotonic() - began < 2
                await asyncio.sleep(0.1)
            answer = await answer_of(engine, shared.payment("t-1"))
            assert answer.tier == DEFAULT
            # The name of the service points to the server that takes writes by now.
            connection = engine.state.connection
            assert isinstance(connection, RedisConnection)
            connection.address = address_of(other.url)
            await drained(engine)
            assert other_client.xlen(shared.keys.events) == 4

    try:
        asyncio.run(run())
    finally:
        other.stop()


def test_more_than_memory_holds_waits_in_a_file_and_is_recorded_once(
    shared: Shared, server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_PENDING", 3)

    async def run() -> None:
        async with marked_worker(shared) as (engine, _):
            server.kill()
            answers = [await answer_of(engine, shared.payment(f"t-{number}", deadline_ms=400)) for number in range(9)]
            again = [await answer_of(engine, shared.payment(f"t-{number}", deadline_ms=400)) for number in range(9)]
            assert again == answers, "a retry gets another answer"
            assert (len(engine.outbox), engine.outbox.dropped) == (9, 0)
            server.start()
            await drained(engine)

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.differences) == (9, [])
    assert shared.live_state() == shared.rebuilt_state()
    assert not list((shared.settings.var / "outbox").iterdir())


def test_what_a_killed_worker_left_in_its_file_is_recorded_by_the_next_one(
    shared: Shared, server: PrivateRedis
) -> None:
    async def outage() -> None:
        async with marked_worker(shared) as (engine, _):
            await answer_of(engine, shared.payment("t-0"))
            server.kill()
            for number in range(1, 6):
                await answer_of(engine, shared.payment(f"t-{number}", deadline_ms=400))

    async def after() -> None:
        async with marked_worker(shared) as _:
            await until(lambda: shared.client.xlen(shared.keys.events) == 12)
            await until(lambda: not list(folder.glob("*.pending"))[1:])

    folder = shared.settings.var / "outbox"
    asyncio.run(outage())
    (left,) = folder.iterdir()
    whole = left.read_bytes()
    server.start()
    asyncio.run(after())
    assert shared.verified().payments == 6
    # The same again, as after a second kill, and with the last decision cut in half.
    left.write_bytes(whole + whole[: len(whole) // 5 - 7])
    asyncio.run(after())
    assert shared.verified().payments == 6
    (aside,) = folder.iterdir()
    assert aside.suffix == ".damaged"
