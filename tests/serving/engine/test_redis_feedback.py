"""Outcomes and labels over Redis enter state and stream once, at their place in the order of events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engine.clustered.engine import RedisEngine
from serving.engine.clustered.feedback import RedisFeedback
from serving.errors import LedgerUnavailable, Overloaded, UnknownTransaction
from serving.feedback.reports import LabelReport, OutcomeReport
from serving.messages import RecordedLabel
from serving.redis_store.reports.waiting import RedisWaiting
from tests.serving.engine.test_redis_engine import stream
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.scoring_world import START_MS
from tests.serving.servers import own_prefix


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


def feedback_of(engine: RedisEngine) -> RedisFeedback:
    return RedisFeedback(engine.state, engine.strings, engine.clock, engine.lookup)


def label(name: str, value: str = "fraud", at_ms: int = START_MS, source: str = "chargeback") -> LabelReport:
    return LabelReport(name, value, source, at_ms)


def test_reports_amid_payments_of_many_workers_leave_what_a_replay_gives(shared: Shared) -> None:
    payments = stream(shared, 200)
    dice = random.Random(5)

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            for begin in range(0, len(payments), 20):
                work = [answer_of(dice.choice((a, b)), one) for one in payments[begin : begin + 20]]
                for number in range(6 if begin else 0):
                    about = payments[dice.randrange(begin)].transaction_id
                    feedback = feedback_of(dice.choice((a, b)))
                    at_ms = START_MS + begin * 1_000 + number
                    if number % 2:
                        work.append(feedback.take_label(label(about, dice.choice(("fraud", "legitimate")), at_ms)))
                    else:
                        outcome = dice.choice(("declined", "reversed"))
                        work.append(feedback.take_outcome(OutcomeReport(about, outcome, at_ms)))
                dice.shuffle(work)
                await asyncio.gather(*work)

    asyncio.run(run())
    kinds = [event.kind for event in shared.events()]
    assert kinds.count("label") > 10
    assert kinds.count("outcome") > 10
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (200, 200, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_the_same_report_on_two_workers_at_once_is_one_event(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            await answer_of(a, shared.payment("t-1"))
            taken = await asyncio.gather(
                *(feedback_of((a, b)[number % 2]).take_label(label("t-1")) for number in range(20))
            )
            assert sum(not one.replayed for one in taken) == 1
            outcomes = await asyncio.gather(
                *(feedback_of(a).take_outcome(OutcomeReport("t-1", "declined", START_MS)) for _ in range(5))
            )
            assert sum(not one.replayed for one in outcomes) == 1

    asyncio.run(run())
    assert [event.kind for event in shared.events()] == ["payment", "label", "outcome"]


def test_a_label_of_a_source_that_ranks_lower_changes_nothing(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as engine:
            feedback = feedback_of(engine)
            await answer_of(engine, shared.payment("t-1"))
            await feedback.take_label(label("t-1", "fraud", START_MS))
            lower = await feedback.take_label(label("t-1", "legitimate", START_MS + 5, "network_alert"))
            assert lower.reply == RecordedLabel("t-1", "legitimate", "outranked", "fraud")
            await feedback.take_label(label("t-1", "legitimate", START_MS - 5))
            await answer_of(engine, shared.payment("t-2"))

    asyncio.run(run())
    assert shared.verified().differences == []
    assert shared.live_state() == shared.rebuilt_state()


def test_reports_that_came_first_are_applied_by_the_worker_that_decides(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            waiting = await asyncio.gather(
                *(feedback_of((a, b)[number % 2]).take_label(label("t-1")) for number in range(6)),
                feedback_of(a).take_outcome(OutcomeReport("t-1", "declined", START_MS)),
            )
            assert all(one.waits for one in waiting)
            assert sum(not one.replayed for one in waiting) == 2
            feedback = feedback_of(b)
            b.state.on_known = feedback.on_known
            await answer_of(b, shared.payment("t-1"))
            known = await feedback_of(a).known("t-1")
            assert known is not None and len(known.reports) == 2
            await feedback.count_waiting()
            assert feedback.waiting_count == 0

    asyncio.run(run())
    kinds = sorted(event.kind for event in shared.events())
    assert kinds == ["label", "outcome", "payment", "waiting", "waiting"]
    assert shared.verified().differences == []
    assert shared.live_state() == shared.rebuilt_state()


def test_a_sweep_applies_what_nobody_was_told_of(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as engine:
            feedback = feedback_of(engine)
            await feedback.take_label(label("t-1"))
            await answer_of(engine, shared.payment("t-1"))  # its worker dies before it applies the label
            await feedback.sweep()
            await feedback.count_waiting()
            assert feedback.waiting_count == 0

    asyncio.run(run())
    assert sorted(event.kind for event in shared.events()) == ["label", "payment", "waiting"]


def test_a_full_stream_takes_no_report_and_neither_does_a_full_waiting_room(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker(stream_limit=2) as engine:
            feedback = feedback_of(engine)
            feedback.waiting = RedisWaiting(engine.state, keep_seconds=60, most=1)
            assert (await feedback.take_label(label("t-9"))).waits
            with pytest.raises(Overloaded):
                await feedback.take_label(label("t-8"))
            with pytest.raises(UnknownTransaction):
                await feedback.take_label(label("t-9"), verdict_seq=1)
            await answer_of(engine, shared.payment("t-1"))
            for name in ("t-1", "t-9", "t-7"):
                with pytest.raises(LedgerUnavailable, match="RISKGATE_STREAM_LIMIT"):
                    await feedback.take_label(label(name, at_ms=START_MS + 1))

    asyncio.run(run())
    assert [event.kind for event in shared.events()] == ["waiting", "payment"]
