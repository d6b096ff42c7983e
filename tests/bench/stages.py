"""Where the time of one payment goes: each step of the path alone, and all of them as they are served.

A process of its own: `python -m tests.bench.stages BUNDLE VAR`. Processor time, µs a payment. A step alone finds its
data in the caches; in place it costs more, which is why `engine` is more than the sum of its steps.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import typer

from features.intake.parse import payment_json, read_payment
from serving.api.app import Application
from serving.decision import receipt as receipts
from serving.decision.decider import FeatureReading, Timings
from serving.decision.evaluator import FULL
from serving.decision.rules import matching
from serving.engine.embedded.runtime import EmbeddedRuntime
from serving.settings import Settings
from serving.start_checks import authenticator_of
from tests.bench.inputs.payments import bodies
from tests.serving.asgi import runtime_with

GROUP = 8
ROUNDS = 5
FAR_NS = 10**12

Steps = dict[str, float]


def timed(step: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, list[Any]]:
    """µs of the processor an item, and what the step returned; the median of slices of the items."""
    size = max(1, len(items) // ROUNDS)
    costs, results = [], []
    for first in range(0, len(items) - size + 1, size):
        part = items[first : first + size]
        before = time.process_time_ns()
        results += [step(item) for item in part]
        costs.append((time.process_time_ns() - before) / 1000 / size)
    return median(costs), results


async def measured(runtime: EmbeddedRuntime, count: int) -> Steps:
    """Every step over `count` payments, then the whole engine and the whole application over as many again."""
    engine = runtime.engine
    assert engine is not None
    raw, evaluator = bodies(3 * count, 4_711), engine.decider.evaluator
    steps: Steps = {}
    steps["read and validate"], payments = timed(lambda body: read_payment(body, engine.catalogue), raw[:count])
    steps["canonical bytes"], contents = timed(payment_json, payments)
    steps["idempotency look-up"], _ = timed(lambda payment: engine._earlier_answer(payment.transaction_id), payments)
    state, profiles = engine.fold.state, engine.fold.profiles
    steps["features and fold"], vectors = timed(lambda payment: state.observe_and_apply(payment, profiles), payments)
    steps["model: margin"], _ = timed(evaluator.scorer.margin, vectors)
    scores = [evaluator.score(vector) for vector in vectors]
    steps["rules"], _ = timed(
        lambda pair: matching(evaluator.rules, pair[0], pair[1][1]), list(zip(vectors, scores, strict=True))
    )
    steps["exact contributions, when flagged"], _ = timed(evaluator.scorer.contributions, vectors[: count // 4])
    steps["receipt id"], _ = timed(receipts.new_receipt_id, [payment.event_time_ms for payment in payments])

    def decide(pair: Any) -> Any:
        payment, vector = pair
        now = engine.now_ns()
        reading = FeatureReading(vector, FULL, (), True, (1, 1, 1, 1, 1, 1))
        moments = Timings(now, now, now, now + FAR_NS, payment.event_time_ms)
        return engine.decider.decide(payment, reading, moments, engine.now_ns)

    steps["decide: model, rules, reasons, receipt, answer"], decided = timed(
        decide, list(zip(payments, vectors, strict=True))
    )
    steps["ledger body"], written = timed(
        lambda pair: receipts.encode_body(pair[0], pair[1].receipt, pair[1].answer),
        list(zip(contents, decided, strict=True)),
    )
    rows = [(p.transaction_id, p.event_time_ms, body) for p, body in zip(payments, written, strict=True)]

    async def append(group: Sequence[Any]) -> None:
        waiting = [engine.ledger.append("payment", f"alone-{name}", at, at, body) for name, at, body in group]
        for one in waiting:
            await one

    steps[f"ledger, {GROUP} in a commit"] = await grouped(append, rows)

    async def whole(group: Sequence[bytes]) -> None:
        taken = [(read_payment(body, engine.catalogue), time.perf_counter_ns()) for body in group]
        await asyncio.gather(*[engine.answer(payment, began) for payment, began in taken])

    steps["whole engine"] = await grouped(whole, raw[count : 2 * count])
    application = Application()
    application.serve(runtime, authenticator_of(runtime.settings))

    async def asked(group: Sequence[bytes]) -> None:
        await asyncio.gather(*[request(application, body) for body in group])

    steps["whole application, without HTTP"] = await grouped(asked, raw[2 * count :])
    return {name: round(cost, 2) for name, cost in steps.items()}


async def grouped(step: Callable[[Sequence[Any]], Any], items: Sequence[Any]) -> float:
    """µs of the processor an item when so many come at once; the median of slices."""
    costs, size = [], max(GROUP, len(items) // ROUNDS // GROUP * GROUP)
    for first in range(0, len(items) - size + 1, size):
        before = time.process_time_ns()
        for at in range(first, first + size, GROUP):
            await step(items[at : at + GROUP])
        costs.append((time.process_time_ns() - before) / 1000 / size)
    return median(costs)


async def request(application: Application, body: bytes) -> None:
    """One payment through the ASGI application."""
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/score", "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [*headers, (b"content-length", b"%d" % len(body))],
    }  # fmt: skip
    status = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        status.append(message.get("status"))

    await application(scope, receive, send)
    if status[0] != 200:
        raise RuntimeError(f"a payment was answered with {status[0]}")


def main(bundle: Path, var: Path, count: int = typer.Option(4_000, help="payments for each step")) -> None:
    """Measure and write JSON."""
    runtime = runtime_with(Settings(var=var, bundle=str(bundle), clock="replay"), bundle)
    runtime.load()
    steps = asyncio.run(measured(runtime, count))
    runtime.ledger.flush()
    runtime.ledger.release()
    sys.stdout.write(json.dumps(steps))


if __name__ == "__main__":
    typer.run(main)
