"""Over Redis too, a shed payment gets the tier it was given, counts in the state, and can be proved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.exposure import Exposure
from serving.judge import DEFAULT, FULL, RULES_ONLY
from serving.receipt import decode_answer
from tests.serving.production.redis_world import Shared
from tests.serving.production.servers import own_prefix
from tests.serving.scoring_world import EXPOSURE_MINOR, START_MS

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
                scored = await engine.answer(one, engine.now_ns(), most=MOST[number % 3])
                tiers.append(decode_answer(scored.answer).tier)

    asyncio.run(run())
    assert tiers == [MOST[number % 3] for number in range(60)]
    receipts = {name: body.receipt for name, body in shared.bodies().items()}
    assert [receipts[f"s-{n}"].seen[0] for n in range(60)] == list(range(60)), "each has seen those before it"
    assert [receipts[f"s-{n}"].vector is None for n in range(3)] == [False, True, True]
    result = shared.verified()
    assert (result.payments, result.differences) == (60, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_two_workers_keep_the_exposure_bound_together(shared: Shared) -> None:
    payments = [shared.payment(f"e-{n}", amount_minor=9_000, deadline_ms=5_000) for n in range(30)]

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            for engine in (a, b):
                engine.decider.exposure = SameMinute(WORKERS)
            for number, one in enumerate(payments):
                engine = (a, b)[number % 2]
                await engine.answer(one, engine.now_ns(), most=RULES_ONLY)

    asyncio.run(run())
    decided = [decode_answer(bytes(body.answer)).decision for body in shared.bodies().values()]
    assert 9_000 * decided.count("approve") <= EXPOSURE_MINOR
    assert decided.count("approve") >= 8
    assert set(decided) == {"approve", "challenge"}
    assert shared.verified().differences == []


class SameMinute(Exposure):
    """Everything happens within one minute, however slow the test is."""

    def _turn(self, arrival_ms: int) -> None:
        """The minute never ends."""
