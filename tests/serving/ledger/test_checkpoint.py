"""The WAL stays short under constant writing, and no writer is refused meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from serving.ledger.sqlite import checkpoint
from serving.ledger.sqlite.checkpoint import checkpoint_once, run_checkpoints
from serving.ledger.sqlite.ledger import Ledger


async def write(ledger: Ledger, first: int, count: int) -> None:
    for number in range(first, first + count):
        await ledger.append("payment", f"t-{number}", number, number, b"x" * 3_000)


def test_a_checkpoint_leaves_the_wal_and_the_next_commit_restarts_it(tmp_path: Path) -> None:
    async def run() -> None:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        await write(ledger, 0, 50)
        length = checkpoint_once(ledger.path)
        assert length > 50 * 3_000
        await write(ledger, 50, 1)
        assert 0 < checkpoint_once(ledger.path) < length
        assert ledger.count() == 51
        ledger.close()

    asyncio.run(run())


def test_held_commits_are_written_on_release_and_a_flush_does_not_wait(tmp_path: Path) -> None:
    async def run() -> None:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        ledger.hold(True)
        waiting = ledger.append("payment", "t-0", 0, 0, b"x")
        await asyncio.sleep(0.01)
        assert (waiting.done(), ledger.count()) == (False, 0)
        ledger.hold(False)
        await asyncio.wait_for(waiting, 1)
        assert ledger.count() == 1
        ledger.hold(True)
        waiting = ledger.append("payment", "t-1", 1, 1, b"x")
        ledger.flush()
        await asyncio.wait_for(waiting, 1)
        assert ledger.count() == 2
        ledger.hold(False)
        ledger.close()

    asyncio.run(run())


def test_a_hold_without_a_release_ends_by_itself_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.ledger.sqlite.ledger.HOLD_SECONDS", 0.03)

    async def run() -> None:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        ledger.hold(True)
        await asyncio.wait_for(ledger.append("payment", "t-0", 0, 0, b"x"), 5)
        assert (ledger.count(), ledger.broken) == (1, None)
        ledger.close()

    asyncio.run(run())


def test_checkpoints_are_postponed_while_payments_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.005)
    monkeypatch.setattr(checkpoint, "WORTH_BYTES", 1 << 16)
    monkeypatch.setattr(checkpoint, "PRESSED_BYTES", 1 << 19)
    monkeypatch.setattr(checkpoint, "PRESSED_FREE_BYTES", 0)
    copied: list[int] = []
    waiting = True

    async def run() -> None:
        nonlocal waiting
        ledger = Ledger(tmp_path / "ledger.sqlite")

        def checkpoint_once(path: Path) -> int:
            copied.append(ledger.body_bytes)
            return 0

        monkeypatch.setattr(checkpoint, "checkpoint_once", checkpoint_once)
        keeping = asyncio.create_task(run_checkpoints(ledger, 1 << 30, lambda: waiting))
        await write(ledger, 0, 100)  # 300 kB: enough for a checkpoint if no payment waited
        await asyncio.sleep(0.1)
        assert copied == []
        await write(ledger, 100, 100)
        await asyncio.sleep(0.1)
        assert len(copied) == 1, "so much more is worth one all the same"
        await write(ledger, 200, 30)
        await asyncio.sleep(0.1)
        assert len(copied) == 1
        waiting = False
        await asyncio.sleep(0.1)
        assert len(copied) == 2
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        ledger.close()

    asyncio.run(run())


def test_the_wal_stays_near_its_limit_under_constant_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(checkpoint, "WORTH_BYTES", 1 << 16)
    limit = 1 << 20

    async def run() -> int:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        keeping = asyncio.create_task(run_checkpoints(ledger, limit))
        longest = 0
        for first in range(0, 3_000, 100):  # as much as thirty times the limit without `run_checkpoints`
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
