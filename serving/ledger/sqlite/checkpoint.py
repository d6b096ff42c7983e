"""Keeps the ledger's write-ahead log short without making a payment wait.

A thread with a connection of its own copies pages back into the file (`PASSIVE` waits for nobody), seldom and much at
once: each pass calls fsync twice, and a commit that comes just then waits for the journal of the file system
(3-12 ms measured). If nothing is written meanwhile, the next commit begins the log anew by itself. Under
constant load that never happens, so once the log is long the thread passes over it until little is left, and for
the last pass commits are held: payments under way wait for two short calls of fsync, the event loop does not.
(SQLite's own way, RESTART, contends for locks with the commits and took 20-40 ms.) The file is written over,
not cut: writing into pages that are there takes half the time, and no fsync of the thread holds a commit up
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
from serving.ledger.sqlite.low_priority import behind_payments
from serving.ledger.sqlite.wal_preallocate import free_bytes

log = logging.getLogger("riskgate.checkpoint")

EVERY_SECONDS = 0.5
#: Bodies of events written since the last pass that are worth one; fewer wait for so long.
WORTH_BYTES, LONGEST_WAIT_SECONDS = 16 << 20, 30.0
#: The same while payments wait: copying takes a tenth to a fifth of what could be decided meanwhile, and a rush that
#: is over within two minutes sees nothing of it.
PRESSED_BYTES, PRESSED_SECONDS = 1 << 30, 120.0
#: With less free than this copies are not put off: the log must not fill the disk.
PRESSED_FREE_BYTES = 16 << 30
#: Passes in a row before commits are held, unless one is quicker than this: then little is left.
PASSES = 4
SHORT_SECONDS = 0.012


def copy_back(path: Path) -> int:
    """Copy the write-ahead log into the ledger file, as far as nobody needs it; the log's length in bytes."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(page_bytes) * max(0, int(pages))
    finally:
        connection.close()


def copy_most(path: Path, descriptor: int) -> None:
    """Copy back until little is left, and let the file itself reach the disk, which only a complete pass sees to."""
    for _ in range(PASSES):
        began = time.monotonic()
        copy_back(path)
        if time.monotonic() - began < SHORT_SECONDS:
            break
    os.fsync(descriptor)


async def keep_short(ledger: Ledger, limit_bytes: int, pressed: Callable[[], bool] = lambda: False) -> None:
    """Run for ever: copy back what is worth it in a thread, begin the log anew beyond `limit_bytes`.

    `pressed` tells whether payments wait to be decided.
    """
    loop, done, at = asyncio.get_running_loop(), ledger.body_bytes, time.monotonic()
    # Never closed: that would drop the locks that SQLite holds on the same file (POSIX gives them to the process).
    descriptor = os.open(ledger.path, os.O_RDONLY)
    with behind_payments("checkpoint") as thread:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            written, now = ledger.body_bytes, time.monotonic()
            put_off = pressed() and free_bytes(descriptor) > PRESSED_FREE_BYTES
            worth, wait = (PRESSED_BYTES, PRESSED_SECONDS) if put_off else (WORTH_BYTES, LONGEST_WAIT_SECONDS)
            if written - done < worth and (written == done or now - at < wait):
                continue
            done, at = written, now
            try:
                if await loop.run_in_executor(thread, copy_back, ledger.path) > limit_bytes:
                    await loop.run_in_executor(thread, copy_most, ledger.path, descriptor)
                    ledger.hold(True)
                    try:
                        await asyncio.to_thread(copy_back, ledger.path)  # now payments wait: no stepping back
                    finally:
                        ledger.hold(False)
            except sqlite3.Error as error:
                log.warning("checkpoint postponed: %s", error)
