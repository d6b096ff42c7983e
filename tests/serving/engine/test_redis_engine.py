"""The path of a payment over Redis: one decision for each, the bits of the embedded path, whatever happens between."""

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
from features.intake.parse import payment_json
from features.state.memory import State
from serving.decision.evaluator import DEFAULT
from serving.decision.receipt import decode_answer, vector_of
from serving.engine.retry_identity import content_digest
from serving.errors import Conflict
from serving.redis_store.scripts import COMPACT
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.scoring_world import START_MS
from tests.serving.servers import own_prefix


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


def stream(shared: Shared, count: int, seed: int = 3) -> list[Payment]:
    """Payments that share payers, devices and payees, some late, some dear."""
    dice, made = random.Random(seed), []
    for number in range(count):
        at = START_MS + number * 7_000 - (dice.randrange(3_600_000) if dice.random() < 0.1 else 0)
        dear = dice.random() < 0.1
        made.append(
            shared.payment(
                f"t-{number}", at_ms=at, amount_minor=dice.randrange(100, 3_000_000 if dear else 90_000),
                payer_id=f"u-{dice.randrange(12)}", instrument_id=f"vpa-{dice.randrange(12)}",
                device_id=None if dice.random() < 0.2 else f"d-{dice.randrange(20)}",
                ip=None if dice.random() < 0.2 else f"10.0.0.{dice.randrange(9)}", payee_id=f"m-{dice.randrange(4)}",
                channel="online" if dear else "qr_static",
            )
        )  # fmt: skip
    return made


def test_vectors_scores_and_decisions_are_those_of_the_state_in_the_process(shared: Shared) -> None:
    payments = stream(shared, 300)

    async def run() -> None:
        async with shared.worker() as engine:
            for one in payments:
                assert (await answer_of(engine, one)).tier == "full"

    asyncio.run(run())
    state, bodies = State(shared.catalogue), shared.bodies()
    for one in payments:
        receipt = bodies[one.transaction_id].receipt
        vector = vector_of(receipt)
        assert vector is not None
        assert vector.tobytes() == state.observe_and_apply(one).tobytes()
        assert receipt.seen == state.last_seen()
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (300, 300, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_many_workers_at_once_leave_what_a_replay_of_the_stream_gives(shared: Shared) -> None:
    payments = stream(shared, 400)

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b, shared.worker() as c:
            for begin in range(0, len(payments), 40):
                dice = random.Random(begin)
                await asyncio.gather(*(answer_of(dice.choice((a, b, c)), one) for one in payments[begin : begin + 40]))

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (400, 400, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_fifty_retries_at_once_on_three_workers_are_one_decision_and_one_event(shared: Shared) -> None:
    one = shared.payment("t-1", amount_minor=2_400_000, channel="online")

    async def run() -> list[bytes]:
        async with shared.worker() as a, shared.worker() as b, shared.worker() as c:
            scored = await asyncio.gather(
                *((a, b, c)[number % 3].answer(one, time.perf_counter_ns()) for number in range(50))
            )
            assert sum(not each.replayed for each in scored) == 1
            return [each.answer for each in scored]

    answers = asyncio.run(run())
    assert len(set(answers)) == 1
    assert [event.kind for event in shared.events()] == ["payment"]
    assert shared.client.xlen(shared.keys.events) == 2
    assert shared.verified().differences == []


def test_the_same_id_with_other_content_is_a_conflict_on_every_worker(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            await answer_of(a, shared.payment("t-1"))
            for engine in (a, b):
                with pytest.raises(Conflict):
                    await answer_of(engine, shared.payment("t-1", amount_minor=1))

    asyncio.run(run())
    assert len(shared.events()) == 1


async def admitted_only(shared: Shared, one: Payment, due_ms: int) -> None:
    """What a worker leaves that dies between the two trips."""
    async with shared.worker() as engine:
        content = payment_json(one)
        entry = engine.strings.entry(one)
        await engine.state.admit(
            one, entry, content, content_digest(content), due_ms, due_ms - 80, engine.now_ns() + 10**9
        )


def test_a_payment_whose_worker_died_is_decided_by_its_retry_as_it_was_then(shared: Shared) -> None:
    payments = stream(shared, 30)

    async def run() -> None:
        async with shared.worker() as engine:
            for one in payments[:10]:
                await answer_of(engine, one)
            await admitted_only(shared, payments[10], due_ms=0)
            for one in payments[11:15]:
                await answer_of(engine, one)
            assert (await answer_of(engine, payments[10])).tier == "full"
            for one in payments[15:]:
                await answer_of(engine, one)

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (30, 30, [])


def test_a_retry_that_was_stamped_anew_takes_over_what_was_admitted(shared: Shared) -> None:
    payments = stream(shared, 12)
    first = payments[10]

    async def run() -> None:
        async with shared.worker() as engine:
            for one in payments[:10]:
                await answer_of(engine, one)
            await admitted_only(shared, first, due_ms=0)
            again = msgspec.structs.replace(first, event_time_ms=first.event_time_ms + 700, device_id="d-anew")
            answer = await answer_of(engine, again)
            assert answer.tier == "full"
            assert [one.code for one in answer.warnings] == ["content_differs"]
            assert (await answer_of(engine, first)).receipt_id == answer.receipt_id
            with pytest.raises(Conflict):
                await answer_of(engine, msgspec.structs.replace(first, payee_id="m-other"))
            await answer_of(engine, payments[11])

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (12, 12, [])


def test_a_payment_taken_over_after_its_state_was_packed_is_decided_by_amount(shared: Shared) -> None:
    first, second = shared.payment("t-1"), shared.payment("t-2")

    async def run() -> None:
        async with shared.worker() as engine:
            await answer_of(engine, first)
            await admitted_only(shared, second, due_ms=0)
            entry = engine.strings.entry(second)
            for kind, key in enumerate(entry.keys):
                if key is not None:
                    name = shared.keys.entity(kind, key)
                    string = shared.client.get(name)
                    packed = engine.strings.canonical(kind, string)
                    fresh = (1).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
                    assert shared.client.evalsha(COMPACT.sha, 1, name, string[:8], len(string), fresh) == 1
            answer = await answer_of(engine, second)
            assert (answer.tier, answer.missing) == (DEFAULT, ("state", "model"))
            assert (await answer_of(engine, shared.payment("t-3"))).tier == "full"

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (3, 2, [])


def test_a_young_payment_of_another_worker_is_waited_for(shared: Shared) -> None:
    one = shared.payment("t-1", deadline_ms=400)
    due_ms = time.time_ns() // 1_000_000 + 200

    async def run() -> float:
        async with shared.worker() as engine:
            await admitted_only(shared, one, due_ms)
            began = time.monotonic()
            assert (await answer_of(engine, one)).tier == "full"
            return time.monotonic() - began

    assert 0.1 < asyncio.run(run()) < 0.45
    assert shared.verified().differences == []


def test_a_full_stream_takes_no_payment_and_every_one_is_decided(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker(stream_limit=2) as engine:
            assert (await answer_of(engine, shared.payment("t-1"))).tier == "full"
            answer = await answer_of(engine, shared.payment("t-2"))
            assert (answer.tier, answer.missing, answer.receipt_id) == (DEFAULT, ("ledger",), None)
            assert engine.stream_full
            shared.client.xtrim(shared.keys.events, maxlen=0)
            assert (await answer_of(engine, shared.payment("t-2"))).tier == "full"
            assert not engine.stream_full

    asyncio.run(run())


def test_a_dry_run_leaves_no_trace(shared: Shared) -> None:
    async def run() -> Any:
        async with shared.worker() as engine:
            await answer_of(engine, shared.payment("t-1"))
            before = {key: shared.client.dump(key) for key in shared.client.scan_iter(f"{shared.keys.prefix}:*")}
            scored = await engine.dry_run(shared.payment("t-2"))
            after = {key: shared.client.dump(key) for key in shared.client.scan_iter(f"{shared.keys.prefix}:*")}
            assert before == after
            return decode_answer(scored.answer)

    answer = asyncio.run(run())
    assert (answer.tier, answer.receipt_id) == ("full", None)
