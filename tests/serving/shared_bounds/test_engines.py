"""Two engines over one Redis, with their bounds shared: the receipts hold what decided, and verification agrees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from serving.access.api_keys import KeyFile, new_key
from serving.decision.decider import Decider
from serving.decision.evaluator import RULES_ONLY
from serving.decision.receipt import decode_answer
from serving.engine.clustered.engine import RedisEngine
from serving.shared_bounds.bounds import RESERVE, Bounds
from serving.shared_bounds.exchange import Exchange
from serving.shared_bounds.exposure import SharedExposure
from tests.serving.profiles import Production, ProductionService
from tests.serving.redis_store.redis_world import Shared
from tests.serving.scoring_world import EXPOSURE_MINOR, START_MS, payment
from tests.serving.servers import own_prefix

AMOUNT = 2_000


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


class SameMinute(SharedExposure):
    """Everything happens within one minute, however slow the test is."""

    def _advance(self, arrival_ms: int) -> None:
        """The minute never ends."""


def exchange_of(engine: RedisEngine, shared: Shared) -> Exchange:
    """Give an engine the bounds that it would have beside a second one."""
    bounds = Bounds(0.5)
    exposure = SameMinute(bounds)
    bounds.members.append(exposure)
    engine.decider = Decider(shared.opened.evaluator, shared.catalogue, "code", exposure)
    return Exchange(engine.state, bounds, lambda: engine.decider.breakers, 2)


def test_two_engines_approve_no_more_without_a_score_than_one_and_verify(shared: Shared) -> None:
    approved: list[int] = []

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            exchanges = [exchange_of(one, shared) for one in (a, b)]
            for one in exchanges:
                await one.join()
            for number in range(120):
                engine = b if number % 4 == 0 else a
                parties = {"payer_id": f"u-{number}", "instrument_id": f"i-{number}", "device_id": None, "ip": None}
                one = shared.payment(f"t-{number}", at_ms=START_MS + number, amount_minor=AMOUNT, **parties)
                scored = await engine.answer(one, engine.now_ns(), best_tier=RULES_ONLY)
                approved.append(AMOUNT if decode_answer(scored.answer).decision == "approve" else 0)
                if number % 10 == 0:
                    for each in exchanges:
                        await each.once()

    asyncio.run(run())
    assert 0.5 * EXPOSURE_MINOR <= sum(approved) <= (1 + RESERVE) * EXPOSURE_MINOR
    result = shared.verified()
    assert (result.payments, result.differences) == (120, [])


def test_a_rate_holds_for_two_processes_of_a_service(
    server_urls: tuple[str, str], bundle: Path, tmp_path: Path
) -> None:
    rate, seconds = 40, 4.0
    file = KeyFile(tmp_path / "keys.json")
    key, token = new_key("till-1", ("score",), datetime.now(UTC), rate=rate)
    file.add(key)
    production = Production(server_urls)
    try:
        with production.running(tmp_path / "service", bundle, 2, RISKGATE_KEYS=str(file.path)) as service:
            assert isinstance(service, ProductionService)
            urls = [f"http://127.0.0.1:{port}/v1/score?dry_run=1" for port in service.own_ports]
            body, headers = payment("t"), {"Authorization": f"Bearer {token}"}
            passed = sent = 0
            with httpx.Client(headers=headers, timeout=20) as client:
                began = time.monotonic()
                while (elapsed := time.monotonic() - began) < seconds:
                    if sent < 4 * rate * elapsed:  # twice the rate to each
                        passed += client.post(urls[sent % 2], json=body).status_code == 200
                        sent += 1
            assert sent > 1.5 * rate * seconds
            assert 0.7 * rate * seconds <= passed <= (1 + RESERVE) * rate * seconds + rate
    finally:
        production.close()
