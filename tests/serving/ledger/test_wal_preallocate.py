"""Room on the disk ahead of the log: it is there, it is small, and SQLite reads nothing into it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.wal_preallocate import log_of, preallocate, run_preallocation

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="room is given on Linux only")

AHEAD, LEAST = 1 << 20, 1 << 18


def give(path: Path, known: int = 0, **options: Any) -> int | None:
    """Preallocate little, on a disk of any size."""
    return preallocate(path, known, AHEAD, LEAST, **{"least_free": 1 << 20, **options})


def write(ledger: Ledger, first: int, count: int) -> None:
    ledger.append_many([("label", f"t-{n}", n, n, b"x" * 3_000) for n in range(first, first + count)])


def test_a_short_log_is_left_as_it_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert give(log_of(ledger.path)) is not None
    before = log_of(ledger.path).stat().st_size
    write(ledger, 0, 10)
    give(log_of(ledger.path))
    assert before < log_of(ledger.path).stat().st_size < LEAST
    ledger.close()


def test_the_wal_grows_into_preallocated_blocks(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    log = log_of(ledger.path)
    write(ledger, 0, 200)
    written = give(log)
    assert written is not None
    there = log.stat()
    assert there.st_size == written + AHEAD
    assert there.st_blocks * 512 >= there.st_size, "the blocks are the file's already"
    write(ledger, 200, 100)  # less than half of it
    assert (log.stat().st_size, give(log, written)) == (
        there.st_size,
        os.path.getsize(log) - _ready(log),
    )
    assert log.stat().st_size == there.st_size
    write(ledger, 300, 200)
    give(log, written)
    assert log.stat().st_size > there.st_size
    assert [event.event_time_ms for event in ledger.walk()] == list(range(500))
    ledger.close()
    again = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert again.count() == 500
    again.release()


def _ready(log: Path) -> int:
    with log.open("rb") as file:
        return file.seek(0, os.SEEK_END) - os.lseek(file.fileno(), 0, os.SEEK_HOLE)


def test_what_a_dead_process_leaves_with_room_behind_it_is_read_to_the_last_event(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    write(ledger, 0, 200)
    give(log_of(ledger.path))
    write(ledger, 200, 7)
    (tmp_path / "left").mkdir()
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        shutil.copy(tmp_path / name, tmp_path / "left" / name)
    ledger.close()
    left = Ledger(tmp_path / "left" / "ledger.sqlite")
    assert [event.event_time_ms for event in left.walk()] == list(range(207))
    write(left, 207, 3)
    assert left.count() == 210
    left.close()


def test_without_holes_the_file_is_preallocated_once(tmp_path: Path) -> None:
    def no_holes(descriptor: int, at: int, how: int) -> int:
        return os.fstat(descriptor).st_size

    ledger = Ledger(tmp_path / "ledger.sqlite")
    write(ledger, 0, 200)
    size = log_of(ledger.path).stat().st_size
    assert give(log_of(ledger.path), find_hole=no_holes) is None
    assert log_of(ledger.path).stat().st_size == size + AHEAD
    ledger.close()


def test_a_system_that_cannot_preallocate_is_not_asked_again(tmp_path: Path) -> None:
    known: list[int] = []

    def refuses(path: Path, written: int) -> int | None:
        known.append(written)
        return None if written else 1

    asyncio.run(asyncio.wait_for(run_preallocation(tmp_path / "l", every_seconds=0.001, allocate=refuses), 5))
    assert known == [0, 1]


def test_a_disk_with_little_left_keeps_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    write(ledger, 0, 200)
    size = log_of(ledger.path).stat().st_size
    assert give(log_of(ledger.path), least_free=1 << 60) is not None
    assert log_of(ledger.path).stat().st_size == size
    ledger.close()


def test_it_stays_ahead_of_a_ledger_that_is_written_and_survives_its_absence(tmp_path: Path) -> None:
    async def run() -> None:
        loop, calls, called = asyncio.get_running_loop(), 0, asyncio.Event()

        def allocate(path: Path, known: int) -> int | None:
            nonlocal calls
            try:
                if calls == 2:
                    raise OSError("Input/output error")
                return give(path, known)
            finally:
                calls += 1
                loop.call_soon_threadsafe(called.set)

        async def after(count: int) -> None:
            """Wait for so many calls that begin from now on; one may be under way."""
            last = calls + count + 1
            async with asyncio.timeout(5):
                while calls < last:
                    called.clear()
                    await called.wait()

        ahead = asyncio.create_task(
            run_preallocation(tmp_path / "ledger.sqlite", every_seconds=0.001, allocate=allocate)
        )
        await after(3)  # there is no log yet, and the disk fails once
        ledger = Ledger(tmp_path / "ledger.sqlite")
        for first in range(0, 1_000, 50):
            write(ledger, first, 50)
            await after(1)
        assert not ahead.done()
        assert _ready(log_of(ledger.path)) >= AHEAD // 2
        ahead.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ahead
        assert ledger.count() == 1_000
        ledger.close()

    asyncio.run(run())
