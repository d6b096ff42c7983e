"""Whatever breaks, a valid payment gets a decision within its deadline, and the reply says which tier made it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.intake.parse import payment_from
from features.state.profiles import PayerProfile
from serving.audit.verify import verify_ledger
from serving.decision.evaluator import Evaluator
from serving.decision.receipt import Answer, Receipt, decode_answer, decode_body
from serving.engine.embedded.engine import EmbeddedEngine
from serving.engine.embedded.runtime import EmbeddedRuntime
from serving.errors import LedgerError
from serving.settings import Settings
from serving.store_config import LedgerConfig
from tests.serving.asgi import runtime_with
from tests.serving.full_disk import full_disk
from tests.serving.scoring_world import payment

#: A time, ns UTC, at which a minute begins.
FULL_MINUTE_NS = 29_000_000 * 60 * 1_000_000_000


class Steps:
    """A monotonic clock that tests move: each look at it costs `step_ns`."""

    def __init__(self) -> None:
        self.now, self.step_ns = 0, 0

    def __call__(self) -> int:
        self.now += self.step_ns
        return self.now


@pytest.fixture
def runtime(bundle: Path, tmp_path: Path) -> Iterator[EmbeddedRuntime]:
    one = runtime_with(Settings(var=tmp_path / "var", clock="replay"), bundle)
    one.load()
    yield one
    asyncio.run(one.end())
    assert verify_ledger(LedgerConfig(tmp_path / "var")).differences == []


def score(runtime: EmbeddedRuntime, name: str, steps: Steps | None = None, **changes: Any) -> Answer:
    engine = engine_of(runtime)
    if steps is not None:
        engine.now_ns = steps

    async def once() -> bytes:
        one = payment_from(payment(name, **changes), engine.catalogue)
        scored = engine.score(one, 0 if steps is not None else engine.now_ns())
        if scored.ticket is not None:
            try:
                await scored.ticket
            except LedgerError as error:
                scored = engine.ledger_failed(one, error)
        return scored.answer

    return decode_answer(asyncio.run(once()))


def engine_of(runtime: EmbeddedRuntime) -> EmbeddedEngine:
    assert runtime.engine is not None
    return runtime.engine


def seen_by_payer(runtime: EmbeddedRuntime, name: str) -> int:
    return receipt_of(runtime, name).seen[0]


def receipt_of(runtime: EmbeddedRuntime, name: str) -> Receipt:
    event = runtime.ledger.payment(name)
    assert event is not None
    return decode_body(event.body).receipt


class BrokenModel(Evaluator):
    def score(self, vector: Any) -> tuple[float, float]:
        raise RuntimeError("broken on purpose")


def break_model(runtime: EmbeddedRuntime) -> None:
    opened = runtime.opened
    serve(runtime, BrokenModel(opened.bundle, opened.catalogue))


def serve(runtime: EmbeddedRuntime, evaluator: Evaluator) -> None:
    engine = engine_of(runtime)
    engine.decider = engine.decider.successor(evaluator, engine.catalogue)


def test_with_time_and_everything_at_hand_the_tier_is_full(runtime: EmbeddedRuntime) -> None:
    assert score(runtime, "a").tier == "full"


def test_past_the_deadline_at_the_start_the_amount_decides_and_the_payment_still_counts(
    runtime: EmbeddedRuntime,
) -> None:
    steps = Steps()
    steps.step_ns = 200_000_000
    answer = score(runtime, "a", steps, deadline_ms=80)
    assert (answer.tier, answer.score, answer.missing) == ("default", None, ("features", "model"))
    steps.step_ns = 0
    steps.now = 0
    score(runtime, "b", steps)
    assert seen_by_payer(runtime, "b") == 1


def test_when_the_features_took_the_time_rules_alone_answer(runtime: EmbeddedRuntime) -> None:
    steps = Steps()
    steps.step_ns = 50_000_000
    answer = score(runtime, "a", steps, deadline_ms=80)
    assert (answer.tier, answer.score, answer.missing) == ("rules_only", None, ("model",))
    assert answer.decision == "approve"  # a small amount
    costly = score(runtime, "b", Steps(), amount_minor=10**9)
    assert costly.tier == "full"
    steps.now = 0
    answer = score(runtime, "c", steps, amount_minor=10**9, deadline_ms=80)
    assert (answer.decision, answer.reasons[0].code) == ("challenge", "NOT_SCORED")


def test_a_model_that_breaks_leaves_the_rules(runtime: EmbeddedRuntime) -> None:
    break_model(runtime)
    assert score(runtime, "a").tier == "rules_only"


def test_profiles_that_break_make_the_answer_stale_and_are_named(runtime: EmbeddedRuntime) -> None:
    unreadable = PayerProfile(event_time_ms=0, created_time_ms=0, home_country="?")
    engine_of(runtime).fold.profiles.put("payer", payment("a")["payer_id"], unreadable)
    answer = score(runtime, "a")
    assert (answer.tier, answer.missing) == ("stale", ("profiles",))
    assert answer.score is not None
    score(runtime, "b")
    assert seen_by_payer(runtime, "b") == 1


def test_features_that_break_leave_the_amount(runtime: EmbeddedRuntime) -> None:
    state = engine_of(runtime).fold.state
    heap, records = state.heap, tuple(dict(known.items()) for known in state.records)
    state.adopt(np.empty(0, np.int64), records, 0)
    assert score(runtime, "a").tier == "default"
    state.adopt(heap, records, 0)


def test_a_ledger_that_cannot_be_written_leaves_a_decision_without_a_receipt_and_heals(
    runtime: EmbeddedRuntime,
) -> None:
    with full_disk(runtime.ledger.path):
        answer = score(runtime, "a")
        assert (answer.tier, answer.missing, answer.receipt_id) == ("default", ("ledger",), None)
        assert runtime.ready().ready is False
        assert score(runtime, "b", payer_id="u-new").receipt_id is None
    assert runtime.feedback is not None
    asyncio.run(runtime.rebuild(engine_of(runtime), runtime.feedback))
    healed = score(runtime, "a")
    assert (healed.tier, runtime.ready().ready) == ("full", True)


def test_without_a_score_no_more_is_approved_in_a_minute_than_the_policy_allows(runtime: EmbeddedRuntime) -> None:
    """The receipts hold the exposure spent before: `verify` (in the fixture) reproduces what the bound decided."""
    now_ns = FULL_MINUTE_NS
    engine_of(runtime).decider.wall_ns = lambda: now_ns
    break_model(runtime)
    answers = [score(runtime, f"e-{place}", amount_minor=20_000) for place in range(7)]
    assert [one.decision for one in answers] == ["approve"] * 5 + ["challenge"] * 2
    assert answers[-1].reasons[0].code == "EXPOSURE_USED_UP"
    assert receipt_of(runtime, "e-6").spent_minor == 100_000
    now_ns += 59_000_000_000
    assert score(runtime, "e-last", amount_minor=20_000).decision == "challenge"
    now_ns += 1_000_000_000
    assert score(runtime, "e-next", amount_minor=20_000).decision == "approve"
    serve(runtime, runtime.opened.evaluator)
    assert score(runtime, "e-scored").decision == "approve"


def test_without_a_ledger_no_more_is_approved_in_a_minute_either(runtime: EmbeddedRuntime) -> None:
    now_ns = FULL_MINUTE_NS
    engine_of(runtime).decider.wall_ns = lambda: now_ns
    with full_disk(runtime.ledger.path):
        answers = [score(runtime, f"e-{place}", amount_minor=20_000) for place in range(7)]
        now_ns += 60_000_000_000
        answers.append(score(runtime, "e-next", amount_minor=20_000))
    assert {one.missing for one in answers} == {("ledger",)}
    assert [one.decision for one in answers] == ["approve"] * 5 + ["challenge"] * 2 + ["approve"]


def test_an_open_breaker_turns_declines_of_the_model_into_reviews_and_is_named_in_answer_and_receipt(
    runtime: EmbeddedRuntime,
) -> None:
    engine = engine_of(runtime)
    costly = {"amount_minor": 2_500_000, "channel": "online", "device_id": "d-new"}
    assert score(runtime, "before", **costly).decision == "decline"
    breakers = engine.decider.breakers
    for place in range(1_500):
        breakers.observe(1_000_000_000 + place * 100, ())
    now_ms = time.time_ns() // 1_000_000
    for _ in range(40):
        breakers.observe(now_ms, ("model",))
    assert breakers.open == ("model",)
    answer = score(runtime, "during", **costly | {"device_id": "d-new-2"})
    assert (answer.decision, answer.missing) == ("review", ("breaker:model",))
    assert answer.reasons, "a review says why"
    receipt = receipt_of(runtime, "during")
    assert (receipt.breakers, receipt.missing) == (("model",), ("breaker:model",))
    small = score(runtime, "small")
    assert (small.decision, small.missing) == ("approve", ())
    ready = runtime.ready()
    assert ready.ready, "an open breaker is reported, but the service still decides in full"
    assert ready.checks["breakers"].startswith("Open, declines are reviews: model asks to decline")
