"""State rebuilt from PostgreSQL equals the lost state bit for bit, and retries find their answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.domain.payment import Payment
from serving.decision.receipt import decode_answer
from serving.engine.clustered import startup_checks
from serving.engine.clustered.rebuild import DRAIN_SECONDS, FENCE_SECONDS, compare, rebuild
from serving.engine.clustered.startup_checks import REBUILDING
from serving.errors import CannotStart, Conflict, StateUnavailable
from serving.feedback.reports import LabelReport
from serving.ledger.postgres import schema
from serving.ledger.postgres.ledger import PostgresLedger
from tests.serving.engine.test_redis_engine import admitted_only, stream
from tests.serving.engine.test_redis_feedback import feedback_of, label
from tests.serving.recorder.test_recorder import recording
from tests.serving.redis_store.redis_world import Shared, answer_of, on_servers
from tests.serving.scoring_world import START_MS
from tests.serving.servers import Servers, wait_for


@pytest.fixture
def shared(servers: Servers, bundle: Path, tmp_path: Path) -> Shared:
    return on_servers(servers, bundle, tmp_path)


@pytest.fixture
def payments(shared: Shared, servers: Servers) -> Iterator[list[Payment]]:
    """Scored by two workers, some labelled, all recorded in PostgreSQL."""
    made, dice = stream(shared, 120), random.Random(2)

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            for begin in range(0, len(made), 30):
                await asyncio.gather(*(answer_of(dice.choice((a, b)), one) for one in made[begin : begin + 30]))
            for one in made[::7]:
                await feedback_of(a).take_label(label(one.transaction_id))

    asyncio.run(run())
    with recording(servers):
        wait_for(lambda: shared.client.xlen(shared.keys.events) == 0, "the recorder")
    yield made


@pytest.fixture
def ledger(shared: Shared, servers: Servers) -> Iterator[PostgresLedger]:
    schema.prepare(servers.postgres_url, servers.prefix)
    one = PostgresLedger(shared.settings.ledger)
    yield one
    one.release()


def no_wait(seconds: float) -> None:
    """For a rebuild without workers."""


def lose(shared: Shared) -> None:
    for key in shared.client.scan_iter(f"{shared.keys.prefix}:*", count=1000):
        shared.client.delete(key)


def test_lost_state_comes_back_bit_for_bit_and_with_it_the_answers(
    shared: Shared, payments: list[Payment], ledger: PostgresLedger
) -> None:
    before = shared.live_state()
    lose(shared)
    made = rebuild(*shared.stores(ledger), sleep=no_wait)
    assert (made.entities, made.payments) == (len(before), len(payments))
    assert shared.live_state() == before
    assert compare(*shared.stores(ledger)).differing == 0

    async def run() -> None:
        async with shared.worker() as engine:
            scored = await engine.answer(payments[3], time.perf_counter_ns())
            assert scored.replayed
            recorded = ledger.payment(payments[3].transaction_id)
            assert recorded is not None
            assert msgspec.json.decode(recorded.body)["answer"] == msgspec.json.decode(scored.answer)
            assert (await answer_of(engine, shared.payment("t-new"))).tier == "full"

    asyncio.run(run())


def test_a_string_that_differs_or_is_missing_is_found(
    shared: Shared, payments: list[Payment], ledger: PostgresLedger
) -> None:
    assert compare(*shared.stores(ledger)).differing == 0
    names = sorted(shared.keys.entity(kind, key) for kind, key in shared.live_state())
    shared.client.delete(names[0])
    other = shared.client.get(names[2])
    shared.client.set(names[1], other if names[1].split(b":")[1] == names[2].split(b":")[1] else b"broken")
    shared.client.set(shared.keys.entity(0, "u-nobody"), other)
    found = compare(*shared.stores(ledger))
    assert found.differing == 3
    assert any("missing" in sentence for sentence in found.sentences)


def test_a_payment_that_was_never_decided_is_decided_by_its_retry_after_a_rebuild(
    shared: Shared, servers: Servers, ledger: PostgresLedger
) -> None:
    one = shared.payment("t-1")

    async def lost() -> None:
        async with shared.worker() as engine:
            await answer_of(engine, shared.payment("t-0"))
        await admitted_only(shared, one, due_ms=time.time_ns() // 1_000_000)

    asyncio.run(lost())
    with recording(servers):
        wait_for(lambda: shared.client.xlen(shared.keys.events) == 0, "the recorder")
    lose(shared)
    rebuild(*shared.stores(ledger), sleep=no_wait)

    async def again() -> Any:
        async with shared.worker() as engine:
            return decode_answer((await engine.answer(one, time.perf_counter_ns())).answer)

    answer = asyncio.run(again())
    # Where it stood in the strings that were lost nobody knows.
    assert (answer.tier, answer.missing) == ("default", ("state", "model"))


def test_reports_that_wait_come_back_with_a_rebuild_and_those_that_were_applied_do_not(
    shared: Shared, servers: Servers, ledger: PostgresLedger
) -> None:
    async def before() -> None:
        async with shared.worker() as engine:
            feedback = feedback_of(engine)
            engine.state.on_known = feedback.on_known
            for name in ("t-1", "t-2"):
                await feedback.take_label(label(name))
            await answer_of(engine, shared.payment("t-2"))
            assert await feedback.known("t-2") is not None
            brought = LabelReport("t-3", "fraud", "chargeback", START_MS, shared.payment("t-3"))
            assert (await feedback.take_label(brought)).reply.status == "applied"

    asyncio.run(before())
    with recording(servers):
        wait_for(lambda: shared.client.xlen(shared.keys.events) == 0, "the recorder")
    lose(shared)
    rebuild(*shared.stores(ledger), sleep=no_wait)
    assert shared.client.zrange(shared.keys.waiting_index, 0, -1) == [b"t-1"]

    async def after() -> None:
        async with shared.worker() as engine:
            feedback = feedback_of(engine)
            assert (await feedback.take_label(label("t-1"))).replayed
            await answer_of(engine, shared.payment("t-1"))
            known = await feedback.known("t-1")
            assert known is not None and [one.value for one in known.reports] == ["fraud"]
            await feedback.count_waiting()
            assert feedback.waiting_count == 0
            with pytest.raises(Conflict):  # a payment that a label brought along stays undecided
                await answer_of(engine, shared.payment("t-3"))

    asyncio.run(after())


def test_while_state_is_built_workers_decide_by_amount_and_append_nothing(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as engine:
            await answer_of(engine, shared.payment("t-1"))
            engine.state.trusted = False
            before = shared.live_state()
            answer = await answer_of(engine, shared.payment("t-2"))
            assert (answer.tier, answer.missing, answer.receipt_id) == ("default", ("state", "model"), None)
            with pytest.raises(StateUnavailable):
                await feedback_of(engine).take_label(label("t-1"))
            assert shared.live_state() == before
            engine.state.trusted = True
            async with asyncio.timeout(5):
                while len(engine.outbox):
                    await asyncio.sleep(0.02)

    asyncio.run(run())
    assert shared.verified().differences == []


def test_the_state_is_replaced_after_every_worker_had_time_to_see_the_fence(
    shared: Shared, payments: list[Payment], ledger: PostgresLedger
) -> None:
    contract, before = startup_checks.contract_of(shared.catalogue.contract().hash), shared.live_state()
    shared.client.set(shared.keys.contract, contract)
    shared.client.set(shared.keys.entity(0, "u-nobody"), b"of before the rebuild")
    waits: list[tuple[float, bytes, bool]] = []

    def sleep(seconds: float) -> None:
        kept = shared.client.exists(shared.keys.entity(0, "u-nobody"))
        waits.append((seconds, shared.client.get(shared.keys.contract), bool(kept)))

    rebuild(*shared.stores(ledger), sleep=sleep)
    assert waits == [(FENCE_SECONDS, REBUILDING, True)]
    assert (shared.client.get(shared.keys.contract), shared.live_state()) == (contract, before)
    lose(shared)
    rebuild(*shared.stores(ledger), sleep=sleep)
    assert len(waits) == 1, "without state no worker uses any"


def test_undrained_events_refuse_a_rebuild(shared: Shared, ledger: PostgresLedger) -> None:
    seconds = 0.0

    def sleep(more: float) -> None:
        nonlocal seconds
        seconds += more

    shared.client.xadd(shared.keys.events, {"k": "payment"})
    with pytest.raises(CannotStart, match="not in PostgreSQL yet"):
        rebuild(*shared.stores(ledger), sleep=sleep, clock=lambda: seconds)
    assert DRAIN_SECONDS <= seconds < DRAIN_SECONDS + 1


def test_workers_refuse_state_of_another_catalogue_and_missing_state(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as engine:
            await startup_checks.agree_on_state(engine.state, "a" * 64, False)
            await startup_checks.agree_on_state(engine.state, "a" * 64, True)
            with pytest.raises(CannotStart, match="folded with catalogue"):
                await startup_checks.agree_on_state(engine.state, "b" * 64, True)
            lose(shared)
            with pytest.raises(CannotStart, match="rebuild-state"):
                await startup_checks.agree_on_state(engine.state, "a" * 64, True)

    asyncio.run(run())
