"""Profiles of many workers: recorded once, seen by each at its own time, and verified through its eyes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.state.profiles import PayerProfile, ProfileFile
from serving.engine.clustered.profiles import SharedProfiles
from tests.serving.engine.test_redis_engine import stream
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.scoring_world import START_MS
from tests.serving.servers import own_prefix


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


def level(of: int, at_ms: int) -> tuple[str, PayerProfile]:
    profile = PayerProfile(event_time_ms=at_ms, created_time_ms=at_ms, verification_level=of, home_country="SG")
    return f"u-{of % 12}", profile


def test_workers_that_read_the_file_at_different_times_are_verified_bit_for_bit(shared: Shared, tmp_path: Path) -> None:
    payments, file = stream(shared, 120), ProfileFile(tmp_path / "profiles.sqlite")

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            for engine in (a, b):
                engine.shared_profiles = SharedProfiles(engine.state, file, None)
                await engine.shared_profiles.read_all()
            dice = random.Random(3)
            for begin in range(0, len(payments), 10):
                file.write([level(number % 4, START_MS + begin - 50 + number) for number in range(begin % 7)])
                work = [answer_of(dice.choice((a, b)), one) for one in payments[begin : begin + 10]]
                # One of them is a look or two ahead of the other.
                await asyncio.gather(*work, dice.choice((a, b)).shared_profiles.refresh())

    asyncio.run(run())
    kinds = [event.kind for event in shared.events()]
    bodies = shared.bodies().values()
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (120, 120, [])
    assert kinds.count("profile") == len(file.new_rows_since(0)) > 10
    assert len({body.receipt.profile_row for body in bodies}) > 3
    level_column = shared.catalogue.index["payer_verification_level"]
    seen = [body.receipt.vector for body in bodies]
    assert any(vector is not None and vector[8 * level_column : 8 * level_column + 8] != NAN for vector in seen)
    file.close()


NAN = b"\x00\x00\x00\x00\x00\x00\xf8\x7f"


def test_a_row_is_seen_only_after_it_was_recorded(shared: Shared, tmp_path: Path) -> None:
    file = ProfileFile(tmp_path / "profiles.sqlite")
    file.write([level(1, START_MS)])

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            one, other = (SharedProfiles(engine.state, file, None) for engine in (a, b))
            assert await one.refresh()
            assert (one.row, len(shared.events())) == (0, 1)
            await other.read_all()
            assert (other.row, len(shared.events())) == (1, 1)
            assert not await one.refresh()
            assert one.row == 1

    asyncio.run(run())
    file.close()
