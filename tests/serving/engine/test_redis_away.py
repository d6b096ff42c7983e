"""Redis gone, hanging or forgetful: every payment is decided in time, and nothing is decided twice."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from features.errors import Refused
from features.state.memory import State
from serving.decision.clock import SystemClock
from serving.decision.evaluator import DEFAULT
from serving.decision.receipt import decode_answer, decode_body
from serving.engine.clustered.startup_checks import agree_on_state, contract_of
from serving.errors import Conflict
from serving.ledger.sqlite.ledger import Event
from tests.serving.redis_store.redis_world import NoPast, Shared, answer_of
from tests.serving.scoring_world import START_MS
from tests.serving.servers import PrivateRedis, own_prefix


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


def test_without_redis_payments_are_decided_in_time_and_recorded_when_it_is_back(bundle: Path, tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path / "redis")
    shared = Shared(server.url, "rg", bundle, tmp_path)

    async def run() -> None:
        async with shared.worker() as engine:
            assert (await answer_of(engine, shared.payment("t-1"))).tier == "full"
            server.kill()
            began = time.monotonic()
            gone = await answer_of(engine, shared.payment("t-2", deadline_ms=400))
            assert time.monotonic() - began < 0.4
            assert (gone.tier, gone.missing, gone.receipt_id) == (DEFAULT, ("state", "model"), None)
            again = await answer_of(engine, shared.payment("t-2", deadline_ms=400))
            assert again == gone
            server.start()
            async with asyncio.timeout(10):
                while len(engine.outbox) or not engine.state.works:
                    await asyncio.sleep(0.02)
            assert (await answer_of(engine, shared.payment("t-3"))).tier == "full"
            later = await answer_of(engine, shared.payment("t-2", deadline_ms=400))
            assert msgspec.structs.replace(later, receipt_id=None) == gone
            assert later.receipt_id is not None

    try:
        asyncio.run(run())
        result = shared.verified()
        assert (result.payments, result.vectors, result.differences) == (3, 2, [])
        assert shared.live_state() == shared.rebuilt_state()
    finally:
        server.stop()


def test_a_redis_that_hangs_costs_no_payment_its_deadline(bundle: Path, tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path / "redis")
    shared = Shared(server.url, "rg", bundle, tmp_path)

    async def run() -> None:
        async with shared.worker() as engine:
            await answer_of(engine, shared.payment("t-0"))
            assert server.process is not None
            server.process.send_signal(signal.SIGSTOP)
            for number in range(1, 9):
                began = time.monotonic()
                answer = await answer_of(engine, shared.payment(f"t-{number}", deadline_ms=400))
                assert time.monotonic() - began < 0.42
                assert (answer.tier, answer.receipt_id) == (DEFAULT, None)
            server.process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(10):
                while len(engine.outbox) or not engine.state.works:
                    await asyncio.sleep(0.02)
            assert (await answer_of(engine, shared.payment("t-9"))).tier == "full"

    try:
        asyncio.run(run())
        result = shared.verified()
        assert (result.payments, result.differences) == (10, [])
        assert shared.live_state() == shared.rebuilt_state()
    finally:
        server.stop()


def test_a_receipt_is_told_while_the_recorder_holds_half_of_it(shared: Shared) -> None:
    """The payment is in PostgreSQL already, what was decided about it still in the stream."""

    async def story() -> None:
        async with shared.worker() as engine:
            answer = (await engine.answer(shared.payment("half"), time.perf_counter_ns())).answer
            whole = await engine.payment_event("half")
            assert whole is not None
            content = bytes(decode_body(whole.body).payment)

            class HalfPast(NoPast):
                def content(self, transaction_id: str) -> bytes | None:
                    return content

            engine.lookup = HalfPast()
            ((payment_id, _),) = shared.client.xrange(shared.keys.events, count=1)
            shared.client.xdel(shared.keys.events, payment_id)
            found = await engine.payment_event("half")
            assert found is not None
            assert found.body == whole.body
            assert bytes(decode_body(found.body).answer) == answer

    asyncio.run(story())


class Ledgered(NoPast):
    """What PostgreSQL would know."""

    def __init__(self, shared: Shared) -> None:
        self.known = {event.transaction_id: event for event in shared.events()}

    def payment(self, transaction_id: str) -> Event | None:
        return self.known.get(transaction_id)


def test_a_retry_that_redis_has_forgotten_gets_its_answer_from_the_ledger(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as engine:
            first = await answer_of(engine, shared.payment("t-1"))
            shared.client.delete(shared.keys.transaction("t-1"))
            engine.clock, engine.lookup = SystemClock(), Ledgered(shared)
            again = await engine.answer(shared.payment("t-1"), time.perf_counter_ns())
            assert (again.replayed, decode_answer(again.answer)) == (True, first)
            with pytest.raises(Conflict):
                await answer_of(engine, shared.payment("t-1", amount_minor=1))
            with pytest.raises(Refused, match="five minutes"):
                await answer_of(engine, shared.payment("t-2"))

    asyncio.run(run())


def test_payments_too_late_for_every_window_are_counted(shared: Shared) -> None:
    async def run() -> int:
        async with shared.worker() as engine:
            await answer_of(engine, shared.payment("t-1"))
            await answer_of(engine, shared.payment("t-2", at_ms=START_MS - 400 * 86_400_000))
            return engine.strings.too_late

    state = State(shared.catalogue)
    for name, at_ms in (("t-1", START_MS), ("t-2", START_MS - 400 * 86_400_000)):
        state.apply(shared.payment(name, at_ms=at_ms))
    assert asyncio.run(run()) == state.too_late > 0


def test_a_redis_that_comes_back_empty_is_not_taken_for_one_in_which_nobody_ever_paid(
    bundle: Path, tmp_path: Path
) -> None:
    server = PrivateRedis(tmp_path / "redis")
    shared = Shared(server.url, "rg", bundle, tmp_path)

    async def run() -> None:
        async with shared.worker() as engine:
            await agree_on_state(engine.state, "a" * 64, False)
            engine.state.expect(contract_of("a" * 64))
            assert (await answer_of(engine, shared.payment("t-1"))).tier == "full"
            server.kill()
            shutil.rmtree(tmp_path / "redis" / "appendonlydir")
            server.start()
            async with asyncio.timeout(10):
                while not engine.state.connection.works:
                    await asyncio.sleep(0.02)
            answer = await answer_of(engine, shared.payment("t-2"))
            assert (answer.tier, answer.missing) == (DEFAULT, ("state", "model"))
            assert not shared.client.exists(shared.keys.events)

    try:
        asyncio.run(run())
    finally:
        server.stop()
