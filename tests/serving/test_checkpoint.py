"""The write-ahead log stays short under constant writing, and nobody who writes meanwhile is refused."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from serving import checkpoint
from serving.checkpoint import copy_back, keep_short
from serving.ledger import Ledger


async def write(ledger: Ledger, first: int, count: int) -> None:
    for number in range(first, first + count):
        await ledger.append("payment", f"t-{number}", number, number, b"x" * 3_000)


def test_copying_back_leaves_the_log_and_beginning_anew_starts_it_over(tmp_path: Path) -> None:
    async def run() -> None:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        await write(ledger, 0, 50)
        length = copy_back(ledger.path)
        assert length > 50 * 3_000
        await write(ledger, 50, 50)
        assert copy_back(ledger.path, begin_anew=True) < 1.5 * length  # begun anew by itself: all had been copied
        await write(ledger, 100, 1)
        assert 0 < copy_back(ledger.path) < length
        assert ledger.count() == 101
        ledger.close()

    asyncio.run(run())


def test_the_log_stays_near_its_limit_while_payments_keep_coming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(checkpoint, "SMALL_BYTES", 1 << 16)
    limit = 1 << 20

    async def run() -> int:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        keeping = asyncio.create_task(keep_short(ledger, limit))
        longest = 0
        for first in range(0, 3_000, 100):  # as much as thirty times the limit without `keep_short`
            await write(ledger, first, 100)
            await asyncio.sleep(0.02)
            longest = max(longest, (tmp_path / "ledger.sqlite-wal").stat().st_size)
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        assert [event.event_time_ms for event in ledger.walk()] == list(range(3_000))
        ledger.close()
        return longest

    assert asyncio.run(run()) < 20 * limit
