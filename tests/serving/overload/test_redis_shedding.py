"""Over Redis too, a shed payment gets the tier it was given, counts in the state, and can be proved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.domain.payment import Payment
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY
from serving.decision.receipt import decode_answer
from serving.engine.clustered.engine import RedisEngine
from serving.engine.scored import Scored
from serving.errors import Conflict
from serving.redis_store.connection import SHORTEST_WINDOW_NS, RedisConnection
from tests.serving.redis_store.redis_world import Shared
from tests.serving.scoring_world import BLOCKED, START_MS
from tests.serving.servers import own_prefix

MOST = (FULL, RULES_ONLY, DEFAULT)
WORKERS = 2


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


def test_every_tier_is_given_folded_and_reproduced(shared: Shared) -> None:
    payments = [shared.payment(f"s-{n}", at_ms=START_MS + n * 1_000, deadline_ms=5_000) for n in range(60)]
    tiers = []

    async def run() -> None:
        async with shared.worker() as engine:
            for number, one in enumerate(payments):
                scored = await engine.answer(one, engine.now_ns(), best_tier=MOST[number % 3])
                tiers.append(decode_answer(scored.answer).tier)

    asyncio.run(run())
    assert tiers == [MOST[number % 3] for number in range(60)]
    receipts = {name: body.receipt for name, body in shared.bodies().items()}
    assert [receipts[f"s-{n}"].seen[:1] for n in range(60)] == [
        () if MOST[n % 3] == DEFAULT else (n,) for n in range(60)
    ], "each has seen those before it; who is decided by amount is not told"
    assert [receipts[f"s-{n}"].vector is None for n in range(3)] == [False, True, True]
    result = shared.verified()
    assert (result.payments, result.differences) == (60, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_retries_of_a_shed_payment_at_any_tier_hear_its_one_answer(shared: Shared) -> None:
    one = shared.payment("r-1", amount_minor=2_400_000, channel="online", deadline_ms=5_000)

    async def run() -> list[bytes]:
        async with shared.worker() as a, shared.worker() as b:
            scored = await asyncio.gather(
                *((a, b)[n % 2].answer(one, a.now_ns(), best_tier=DEFAULT if n % 4 < 3 else FULL) for n in range(50))
            )
            assert sum(not each.replayed for each in scored) == 1
            with pytest.raises(Conflict):
                await b.answer(shared.payment("r-1", deadline_ms=5_000), b.now_ns(), best_tier=DEFAULT)
            return [each.answer for each in scored]

    assert len(set(asyncio.run(run()))) == 1
    assert [event.kind for event in shared.events()] == ["payment"]
    assert shared.client.xlen(shared.keys.events) == 2
    assert shared.verified().differences == []


def test_a_shed_payment_is_one_trip_and_opens_its_case(shared: Shared) -> None:
    calls = []

    async def run() -> None:
        async with shared.worker() as engine:
            call = engine.state.connection.call
            engine.state.connection.call = lambda command, at: calls.append(command[0]) or call(command, at)  # type: ignore
            listed = shared.payment("c-1", payer_id=BLOCKED, deadline_ms=5_000)
            assert (await engine.answer(listed, engine.now_ns(), best_tier=DEFAULT)).decision == "decline"

    asyncio.run(run())
    assert calls == ["EVALSHA"]
    (decision,) = [fields for _, fields in shared.client.xrange(shared.keys.events) if fields[b"k"] == b"decision"]
    assert b'"transaction_id":"c-1"' in decision[b"c"]
    assert shared.verified().differences == []


def test_a_full_stream_takes_no_shed_payment_either(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker(stream_limit=2) as engine:
            answers = [
                decode_answer(
                    (await engine.answer(shared.payment(f"f-{n}"), engine.now_ns(), best_tier=DEFAULT)).answer
                )
                for n in range(3)
            ]
            assert [answer.missing for answer in answers] == [("features", "model")] + 2 * [("ledger",)]
            assert [answer.receipt_id is None for answer in answers] == [False, True, True]

    asyncio.run(run())
    assert shared.live_state() == shared.rebuilt_state()


def test_a_usual_trip_is_the_shortest_of_late(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as engine:
            assert 0 < engine.trip_ns < 1_000_000_000
            connection = engine.state.connection
            assert isinstance(connection, RedisConnection)
            connection._shortest_ns = connection._shortest_before_ns = 40_000_000
            await engine.state.get(b"nothing")
            assert engine.trip_ns < 40_000_000, "a shorter one is the usual one"
            connection._shortest_ns, connection._shortest_before_ns = 1_000, 2_000
            for _ in range(2):
                connection._shortest_since_ns -= 2 * SHORTEST_WINDOW_NS
                await engine.state.get(b"nothing")
            assert engine.trip_ns > 2_000, "what was shorter long ago is forgotten"

    asyncio.run(run())


async def shed(engine: RedisEngine, one: Payment) -> Scored:
    """The answer of a payment that is shed, as the fast path asks for it: by callback where that is enough."""
    heard = asyncio.get_running_loop().create_future()

    def hear(scored: Scored | Exception) -> None:
        if isinstance(scored, Exception):
            heard.set_exception(scored)
        else:
            heard.set_result(scored)

    if engine.begin_by_amount(one, engine.now_ns(), hear):
        return await heard
    return await engine.answer(one, engine.now_ns(), best_tier=DEFAULT)


def test_plain_payments_are_shed_without_a_task_and_prove_themselves(shared: Shared) -> None:
    async def run() -> list[Scored]:
        async with shared.worker() as engine:
            before = len(asyncio.all_tasks())
            heard: list[Scored | Exception] = []
            for number in range(30):
                one = shared.payment(f"p-{number}", at_ms=START_MS + number * 1_000, deadline_ms=5_000)
                assert engine.begin_by_amount(one, engine.now_ns(), heard.append)
            assert len(asyncio.all_tasks()) == before
            while len(heard) < 30:
                await asyncio.sleep(0.001)
            return [one for one in heard if isinstance(one, Scored)]

    answers = [decode_answer(scored.answer) for scored in asyncio.run(run())]
    assert [(answer.transaction_id, answer.tier) for answer in answers] == [(f"p-{n}", DEFAULT) for n in range(30)]
    assert {body.receipt.receipt_id for body in shared.bodies().values()} == {one.receipt_id for one in answers}
    assert (shared.verified().payments, shared.verified().differences) == (30, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_what_is_not_plain_goes_on_and_says_the_same(shared: Shared) -> None:
    one = shared.payment("n-1", deadline_ms=5_000)

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            scored = await asyncio.gather(*(shed((a, b)[n % 2], one) for n in range(50)))
            assert sum(not each.replayed for each in scored) == 1
            assert len({each.answer for each in scored}) == 1
            with pytest.raises(Conflict):
                await shed(b, shared.payment("n-1", amount_minor=77, deadline_ms=5_000))
            shared.client.script_flush()
            answer = decode_answer((await shed(a, shared.payment("n-2", deadline_ms=5_000))).answer)
            assert answer.receipt_id is not None, "scripts that were lost are loaded again"

    asyncio.run(run())
    assert sorted(shared.bodies()) == ["n-1", "n-2"]
    assert shared.client.xlen(shared.keys.events) == 4
    assert shared.verified().differences == []


def test_shed_while_redis_is_late_or_full_a_payment_is_answered_in_time_and_recorded_once(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker(stream_limit=4) as engine:
            assert isinstance(engine.state.connection, RedisConnection)
            transport = engine.state.connection._transport
            assert transport is not None
            transport.pause_reading()
            began_ns = engine.now_ns()
            late = decode_answer((await shed(engine, shared.payment("l-1", deadline_ms=30))).answer)
            assert (engine.now_ns() - began_ns) / 1e6 < 1_000
            assert (late.tier, late.receipt_id) == (DEFAULT, None)
            transport.resume_reading()
            while len(engine.outbox):
                await asyncio.sleep(0.01)
            again = await shed(engine, shared.payment("l-1", deadline_ms=30))
            assert again.replayed
            assert (await shed(engine, shared.payment("l-2", deadline_ms=5_000))).tier == DEFAULT
            full = decode_answer((await shed(engine, shared.payment("l-3", deadline_ms=5_000))).answer)
            assert (full.missing, full.receipt_id) == (("ledger",), None)

    asyncio.run(run())
    assert sorted(shared.bodies()) == ["l-1", "l-2"]
    assert shared.live_state() == shared.rebuilt_state()
