"""A state that Redis has lost, or that is older than the ledger, becomes the ledger's again without a command."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serving.audit.verify import verify_ledger
from serving.decision.evaluator import DEFAULT, FULL
from serving.engine.clustered.engine import RedisEngine
from serving.engine.clustered.rebuild import compare
from serving.engine.clustered.startup_checks import contract_of, note_promotion
from serving.engine.clustered.startup_checks import until_healed as until_healed_before_start
from serving.ledger.incidents import incidents
from serving.ledger.postgres.ledger import PostgresLedger
from serving.recorder.healing import StateHealer
from tests.serving.recorder.test_recorder import recording
from tests.serving.redis_store.redis_world import Shared, answer_of, on_servers
from tests.serving.scoring_world import START_MS
from tests.serving.servers import PrivateRedis, Servers, own_database

SOON_SECONDS = 20


@pytest.fixture
def own(server: PrivateRedis, server_urls: tuple[str, str]) -> Iterator[Servers]:
    with own_database(server_urls[1]) as database:
        yield Servers(server.url, database, "rg")


@pytest.fixture
def shared(own: Servers, bundle: Path, tmp_path: Path) -> Shared:
    return on_servers(own, bundle, tmp_path)


@contextlib.contextmanager
def recorder(own: Servers, shared: Shared) -> Iterator[StateHealer]:
    """A recorder that heals, in a thread of this process."""
    healer = StateHealer(shared.settings.ledger, shared.settings.redis)
    with recording(own, healer):
        yield healer


@contextlib.asynccontextmanager
async def worker(shared: Shared) -> AsyncIterator[RedisEngine]:
    """A worker that looks at the mark of the state twenty times a second, as one in production does each second."""
    async with shared.worker() as engine:
        contract = contract_of(engine.decider.features_hash)
        await engine.state.exchange(engine.state.keys.contract, b"", contract)
        engine.state.expect(contract)
        await note_promotion(engine.state, shared.opened, "code", START_MS)

        async def look() -> None:
            while True:
                await asyncio.sleep(0.05)
                with contextlib.suppress(Exception):
                    engine.state.trusted = await engine.state.get(engine.state.keys.contract) == contract

        looking = asyncio.create_task(look())
        yield engine
        looking.cancel()


async def scored(engine: RedisEngine, shared: Shared, first: int, count: int) -> list[str]:
    """The tiers of so many payments, one after the other."""
    tiers = []
    for number in range(first, first + count):
        payment = shared.payment(f"t-{number}", at_ms=START_MS + 1_000 * number, payer_id=f"u-{number % 3}")
        tiers.append((await answer_of(engine, payment)).tier)
    return tiers


async def until_recorded(shared: Shared) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while shared.client.xlen(shared.keys.events):
            await asyncio.sleep(0.02)


async def until_healed(engine: RedisEngine, healer: StateHealer) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while not healer.healed or not engine.state.works or len(engine.outbox):
            await asyncio.sleep(0.05)


def proven(shared: Shared, payments: int, declared: int = 0) -> None:
    """Live state and ledger agree, and every decision recomputes but those of a declared incident."""
    ledger = PostgresLedger(shared.settings.ledger)
    try:
        compared = compare(shared.settings.redis, ledger, shared.settings.ledger.segments, shared.catalogue)
        known = incidents(ledger)
    finally:
        ledger.release()
    assert (compared.differing, compared.sentences) == (0, ())
    assert len(known) == 1
    assert known[0].by == "recorder"
    result = verify_ledger(shared.settings.ledger)
    assert (result.payments, result.mismatches, result.declared) == (payments, 0, declared)


def test_after_flushall_the_state_is_the_ledgers_again(own: Servers, shared: Shared) -> None:
    async def run(healer: StateHealer) -> None:
        async with worker(shared) as engine:
            assert set(await scored(engine, shared, 0, 20)) == {FULL}
            await until_recorded(shared)
            shared.client.flushall()
            assert set(await scored(engine, shared, 20, 5)) == {DEFAULT}
            await until_healed(engine, healer)
            assert set(await scored(engine, shared, 25, 5)) == {FULL}
            await until_recorded(shared)

    with recorder(own, shared) as healer:
        asyncio.run(run(healer))
        proven(shared, 30)


def test_a_redis_that_comes_back_older_is_healed_and_decides_nothing_before(
    own: Servers, shared: Shared, server: PrivateRedis, tmp_path: Path
) -> None:
    async def run(healer: StateHealer) -> None:
        async with worker(shared) as engine:
            assert set(await scored(engine, shared, 0, 10)) == {FULL}
            await until_recorded(shared)
            shutil.copytree(server.folder, tmp_path / "older")
            assert set(await scored(engine, shared, 10, 10)) == {FULL}
            await until_recorded(shared)
            server.kill()
            shutil.rmtree(server.folder)
            shutil.copytree(tmp_path / "older", server.folder)
            server.start()
            tiers, number = [DEFAULT], 20
            async with asyncio.timeout(SOON_SECONDS):
                while tiers != [FULL]:
                    tiers = await scored(engine, shared, number, 1)
                    assert healer.healed or tiers == [DEFAULT], "decided from the older state"
                    number += 1
                    await asyncio.sleep(0.02)
            await until_healed(engine, healer)
            await until_recorded(shared)
            counted.append(number)

    counted: list[int] = []
    with recorder(own, shared) as healer:
        asyncio.run(run(healer))
        proven(shared, counted[0])


def test_a_mark_that_a_rebuild_left_behind_is_healed_after_a_while(
    own: Servers, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.recorder.healing.PATIENCE_SECONDS", 1.0)

    async def run(healer: StateHealer) -> None:
        async with worker(shared) as engine:
            await scored(engine, shared, 0, 5)
            await until_recorded(shared)
            shared.client.set(shared.keys.contract, b"rebuilding")
            began = time.monotonic()
            await until_healed(engine, healer)
            assert time.monotonic() - began > 0.9
            await until_recorded(shared)

    with recorder(own, shared) as healer:
        asyncio.run(run(healer))
        proven(shared, 5)


def test_what_was_acknowledged_and_lost_before_it_was_recorded_is_recorded_again(own: Servers, shared: Shared) -> None:
    async def run() -> None:
        async with worker(shared) as engine:
            with recorder(own, shared):
                assert set(await scored(engine, shared, 0, 5)) == {FULL}
                await until_recorded(shared)
            assert set(await scored(engine, shared, 5, 5)) == {FULL}  # and no recorder runs
            shared.client.flushall()
            assert await scored(engine, shared, 10, 1) == [DEFAULT]
            with recorder(own, shared) as healer:
                await until_healed(engine, healer)
                assert set(await scored(engine, shared, 11, 2)) == {FULL}
                await until_recorded(shared)

    asyncio.run(run())
    proven(shared, 13)


def test_a_recorder_without_redis_says_so_ever_less_often(
    own: Servers, shared: Shared, server: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    with recorder(own, shared), caplog.at_level("WARNING", "riskgate.recorder"):
        server.kill()
        time.sleep(4)
        lines = [one.getMessage() for one in caplog.records if "waits" in one.getMessage()]
        assert 2 <= len(lines) <= 8  # without the back-off there were 32
        assert f"Redis at 127.0.0.1:{server.port}/0: ConnectionError" in lines[-1]
        server.start()


def test_a_starting_worker_waits_until_a_lost_state_is_rebuilt(own: Servers, shared: Shared) -> None:
    async def run() -> None:
        async with worker(shared) as engine:
            with recorder(own, shared):
                await scored(engine, shared, 0, 5)
                await until_recorded(shared)
            shared.client.flushall()
            state = shared.state()
            await state.open()
            await until_healed_before_start(state, True, 0.3)
            assert shared.client.get(shared.keys.contract) is None, "waits in vain without a recorder, and returns"
            with recorder(own, shared) as healer:
                await until_healed_before_start(state, True, SOON_SECONDS)
                assert healer.healed
                await until_recorded(shared)
            state.close()

    asyncio.run(run())
    proven(shared, 5)
