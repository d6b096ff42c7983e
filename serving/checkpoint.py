"""Keeps the ledger's write-ahead log short without making a payment wait.

A thread with a connection of its own copies pages back into the file each second (`PASSIVE` waits for nobody).
If nothing is written meanwhile, the next commit begins the log anew by itself. Under constant load that
never happens, so once the log is long the thread holds the writer's lock while it copies the little that is
left: payments under way wait for two calls of fsync (10-20 ms), the event loop does not. The file is
written over, not cut: writing into pages that are there takes half the time, and no fsync of the
thread holds a commit up because the file grew.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path

from serving.ledger import Ledger

log = logging.getLogger("riskgate.checkpoint")

EVERY_SECONDS = 1.0
#: Below this size copying back is not worth the disk's attention.
SMALL_BYTES = 4 << 20


def copy_back(path: Path, begin_anew: bool = False) -> int:
    """Copy the write-ahead log into the ledger file; the log's length in bytes.

    Waits for nobody unless it is to `begin_anew`: then writers wait until all of it is copied.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        mode = "RESTART" if begin_anew else "PASSIVE"
        _, pages, _ = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return int(page_bytes) * max(0, int(pages))
    finally:
        connection.close()


async def keep_short(ledger: Ledger, limit_bytes: int) -> None:
    """Run for ever: copy back each second in a thread, begin the log anew beyond `limit_bytes`."""
    wal = ledger.path.with_name(ledger.path.name + "-wal")
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            if (wal.stat().st_size if wal.exists() else 0) > SMALL_BYTES:
                length = await asyncio.to_thread(copy_back, ledger.path)
                if length > limit_bytes:
                    await asyncio.to_thread(copy_back, ledger.path, True)
        except sqlite3.Error as error:
            log.warning("checkpoint postponed: %s", error)
