"""Checkpoints the WAL of the ledger in a thread, so that no payment waits for it.

The thread has a connection of its own and runs PASSIVE checkpoints, which wait for no lock. They are rare and large:
each calls fsync twice, and a commit in that moment waits for the journal of the file system (3-12 ms measured).
If nothing is written meanwhile, the next commit restarts the WAL. Under constant load that never happens: beyond a
size limit the thread runs checkpoints until little is left, then holds commits for the last one. Payments in flight
wait for two short fsyncs, the event loop does not. (RESTART contends with the commits for locks and took 20-40 ms.)
The WAL is overwritten, not truncated: overwriting takes half the time, and no fsync of the thread delays a commit
because the file grew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.low_priority import low_priority_executor
from serving.ledger.sqlite.wal_preallocate import free_bytes

log = logging.getLogger("riskgate.checkpoint")

EVERY_SECONDS = 0.5
#: A checkpoint runs after so many bytes of event bodies, or after so many seconds if there were fewer.
WORTH_BYTES, LONGEST_WAIT_SECONDS = 16 << 20, 30.0
#: The same while payments are queued: a checkpoint costs a tenth to a fifth of the throughput, and a rush of less than
#: two minutes is over before one runs.
PRESSED_BYTES, PRESSED_SECONDS = 1 << 30, 120.0
#: Below this much free disk space checkpoints are not postponed: the WAL must not fill the disk.
PRESSED_FREE_BYTES = 16 << 30
#: Checkpoints in a row before commits are held; one shorter than `SHORT_SECONDS` means that little is left.
PASSES = 4
SHORT_SECONDS = 0.012


def checkpoint_once(path: Path) -> int:
    """Run one PASSIVE checkpoint; returns the length of the WAL in bytes."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(page_bytes) * max(0, int(pages))
    finally:
        connection.close()


def checkpoint_most(path: Path, descriptor: int, once: Callable[[Path], int]) -> None:
    """Run checkpoints until little is left, then fsync the ledger file, which only a complete checkpoint does."""
    for _ in range(PASSES):
        began = time.monotonic()
        once(path)
        if time.monotonic() - began < SHORT_SECONDS:
            break
    os.fsync(descriptor)


def is_due(new_bytes: int, seconds: float, pressed: bool, free: int) -> bool:
    """Whether a checkpoint should run: in `seconds` since the last one, `new_bytes` of event bodies were written.

    `pressed` says whether payments are queued; `free` is the free disk space in bytes.
    """
    postponed = pressed and free > PRESSED_FREE_BYTES
    worth, wait = (PRESSED_BYTES, PRESSED_SECONDS) if postponed else (WORTH_BYTES, LONGEST_WAIT_SECONDS)
    return new_bytes >= worth or (new_bytes > 0 and seconds >= wait)


async def run_checkpoints(
    ledger: Ledger,
    limit_bytes: int,
    pressed: Callable[[], bool] = lambda: False,
    *,
    every_seconds: float = EVERY_SECONDS,
    due: Callable[[int, float, bool, int], bool] = is_due,
    once: Callable[[Path], int] = checkpoint_once,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run checkpoints in a thread until cancelled; beyond `limit_bytes` let the next commit restart the WAL.

    `pressed` says whether payments are queued. `due` is asked every `every_seconds`; `once` runs one checkpoint;
    `clock` gives seconds.
    """
    loop, done, at = asyncio.get_running_loop(), ledger.body_bytes, clock()
    # Never closed: closing drops the POSIX locks of SQLite on the same file, which belong to the process.
    descriptor = os.open(ledger.path, os.O_RDONLY)
    with low_priority_executor("checkpoint") as thread:
        while True:
            await asyncio.sleep(every_seconds)
            written, now = ledger.body_bytes, clock()
            if not due(written - done, now - at, pressed(), free_bytes(descriptor)):
                continue
            done, at = written, now
            try:
                if await loop.run_in_executor(thread, once, ledger.path) > limit_bytes:
                    await loop.run_in_executor(thread, checkpoint_most, ledger.path, descriptor, once)
                    ledger.hold(True)
                    try:
                        await asyncio.to_thread(once, ledger.path)  # commits wait: at normal priority
                    finally:
                        ledger.hold(False)
            except sqlite3.Error as error:
                log.warning("checkpoint postponed: %s", error)
