"""The WAL stays short under constant writing, and no writer is refused meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from serving.ledger.sqlite.checkpoint import (
    LONGEST_WAIT_SECONDS,
    PRESSED_BYTES,
    PRESSED_FREE_BYTES,
    PRESSED_SECONDS,
    WORTH_BYTES,
    checkpoint_once,
    is_due,
    run_checkpoints,
)
from serving.ledger.sqlite.ledger import HOLD_SECONDS, LOCK_RETRY_SECONDS, Ledger, NotYetWritten

PLENTY = PRESSED_FREE_BYTES + 1


async def write(ledger: Ledger, first: int, count: int) -> None:
    for number in range(first, first + count):
        await ledger.append("payment", f"t-{number}", number, number, b"x" * 3_000)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


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
        ledger = Ledger(tmp_path / "ledger.sqlite", clock=lambda: 100.0)
        ledger.hold(True)
        waiting = ledger.append("payment", "t-0", 0, 0, b"x")
        await asyncio.sleep(2 * LOCK_RETRY_SECONDS)
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


def test_a_hold_without_a_release_ends_by_itself_and_breaks_nothing(tmp_path: Path) -> None:
    seconds = 100.0

    async def run() -> None:
        nonlocal seconds
        ledger = Ledger(tmp_path / "ledger.sqlite", clock=lambda: seconds)
        ledger.hold(True)
        waiting = ledger.append("payment", "t-0", 0, 0, b"x")
        await asyncio.sleep(3 * LOCK_RETRY_SECONDS)
        assert not waiting.done()
        seconds += HOLD_SECONDS
        with contextlib.suppress(NotYetWritten):  # a hold is longer than callers wait
            await asyncio.wait_for(waiting, 5)
        await asyncio.wait_for(ledger.append("payment", "t-1", 1, 1, b"x"), 5)
        assert (ledger.count(), ledger.broken) == (2, None)
        ledger.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("new_bytes", "seconds", "pressed", "free", "due"),
    [
        (WORTH_BYTES - 1, 0.0, False, 0, False),
        (WORTH_BYTES, 0.0, False, 0, True),
        (1, LONGEST_WAIT_SECONDS - 0.1, False, 0, False),
        (1, LONGEST_WAIT_SECONDS, False, 0, True),
        (0, 10 * PRESSED_SECONDS, False, 0, False),
        (PRESSED_BYTES - 1, LONGEST_WAIT_SECONDS, True, PLENTY, False),
        (PRESSED_BYTES, 0.0, True, PLENTY, True),
        (1, PRESSED_SECONDS, True, PLENTY, True),
        (PRESSED_BYTES - 1, LONGEST_WAIT_SECONDS, False, PLENTY, True),
        (WORTH_BYTES, 0.0, True, PRESSED_FREE_BYTES, True),  # the WAL must not fill the disk
    ],
)
def test_checkpoints_are_rare_and_postponed_while_payments_wait(
    new_bytes: int, seconds: float, pressed: bool, free: int, due: bool
) -> None:
    assert is_due(new_bytes, seconds, pressed, free) is due


def test_what_is_due_counts_from_the_last_checkpoint(tmp_path: Path) -> None:
    asked: list[tuple[int, float, bool, int]] = []
    worth, seconds, waiting = 200_000, 100.0, True
    copied: list[int] = []

    def due(*since: Any) -> bool:
        asked.append(since)
        return bool(since[0] >= worth and not since[2])

    def once(path: Path) -> int:
        copied.append(asked[-1][0])
        return checkpoint_once(path)

    async def latest() -> tuple[int, float, bool, int]:
        """The question after the next one, which may start a checkpoint."""
        count = len(asked)
        while len(asked) < count + 2:
            await asyncio.sleep(0.001)
        return asked[-1]

    async def run() -> None:
        nonlocal seconds, waiting
        ledger = Ledger(tmp_path / "ledger.sqlite")
        await write(ledger, 0, 10)  # before the start
        keeping = asyncio.create_task(
            run_checkpoints(
                ledger, 1 << 30, lambda: waiting, every_seconds=0.001, due=due, once=once, clock=lambda: seconds
            )
        )
        assert (await latest())[:3] == (0, 0.0, True)
        await write(ledger, 10, 100)
        seconds += 7.0
        new_bytes, since, pressed, free = await latest()
        assert (new_bytes, since, pressed, copied) == (300_000, 7.0, True, [])
        assert 0 < free <= shutil.disk_usage(tmp_path).total
        waiting = False
        assert (await latest())[:3] == (0, 0.0, False)
        assert copied == [300_000]
        await write(ledger, 110, 1)
        seconds += 2.0
        assert (await latest())[:3] == (3_000, 2.0, False)
        await stop(keeping)
        ledger.close()

    asyncio.run(run())


def test_the_wal_restarts_though_a_commit_comes_in_each_checkpoint(tmp_path: Path) -> None:
    async def run() -> None:
        loop, limit = asyncio.get_running_loop(), 100_000
        ledger = Ledger(tmp_path / "ledger.sqlite", clock=lambda: 100.0)  # the hold ends by its release only
        committed: list[bool] = []
        released = asyncio.Event()

        async def commit_now() -> bool:
            ticket = ledger.append("payment", f"during-{len(committed)}", 1_000, 1_000, b"x" * 3_000)
            await asyncio.sleep(2 * LOCK_RETRY_SECONDS)
            return ticket.done()

        def once(path: Path) -> int:
            length = checkpoint_once(path)
            committed.append(asyncio.run_coroutine_threadsafe(commit_now(), loop).result(5))
            return length

        def due(*_: Any) -> bool:
            if committed:
                released.set()
            return not committed

        await write(ledger, 0, 50)
        keeping = asyncio.create_task(run_checkpoints(ledger, limit, every_seconds=0.001, due=due, once=once))
        await asyncio.wait_for(released.wait(), 5)
        await stop(keeping)
        assert committed[:2] == [True, True], "commits go on during the others"
        assert committed.index(False) == len(committed) - 1, "the last checkpoint has the WAL for itself"
        assert ledger.count() == 50 + len(committed), "what was held is written"
        assert checkpoint_once(ledger.path) < limit // 2, "the WAL begins again"
        ledger.close()

    asyncio.run(run())


def test_the_wal_stays_near_its_limit_under_constant_load(tmp_path: Path) -> None:
    limit = 1 << 20

    def due(new_bytes: int, *_: Any) -> bool:
        return new_bytes >= 1 << 16

    async def run() -> int:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        keeping = asyncio.create_task(run_checkpoints(ledger, limit, every_seconds=0.02, due=due))
        longest = 0
        for first in range(0, 3_000, 100):  # as much as thirty times the limit without `run_checkpoints`
            await write(ledger, first, 100)
            await asyncio.sleep(0.02)
            longest = max(longest, (tmp_path / "ledger.sqlite-wal").stat().st_size)
        await stop(keeping)
        assert [event.event_time_ms for event in ledger.walk()] == list(range(3_000))
        ledger.close()
        return longest

    assert asyncio.run(run()) < 20 * limit
