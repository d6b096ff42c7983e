"""Keeps the ledger's write-ahead log short without making a payment wait.

A thread with a connection of its own copies pages back into the file (`PASSIVE` waits for nobody).
Under constant load that never empties the log, so once it is long the event loop empties it between
two commits, when almost nothing is left to copy.
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


def copy_back(path: Path) -> None:
    """Copy what is in the write-ahead log into the ledger file, waiting for nobody."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    finally:
        connection.close()


async def keep_short(ledger: Ledger, limit_bytes: int) -> None:
    """Run for ever: copy back each second in a thread, restart the log beyond `limit_bytes`."""
    wal = ledger.path.with_name(ledger.path.name + "-wal")
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            size = wal.stat().st_size if wal.exists() else 0
            if size > SMALL_BYTES:
                await asyncio.to_thread(copy_back, ledger.path)
                if size > limit_bytes:
                    ledger.restart_wal()
        except sqlite3.Error as error:
            log.warning("checkpoint postponed: %s", error)
