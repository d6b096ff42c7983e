"""Lets the ledger's log find room on the disk where it grows: a payment must not wait while blocks are looked for.

A file system that looks for blocks only when it writes back (ext4, XFS) holds the file meanwhile: each half minute
commits waited 10 to 20 ms several times in a row. Room that is given beforehand is neither looked for nor a change
of length. SQLite reads no further than its own frames go, so what lies beyond them is as good as not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import sys
from pathlib import Path

from serving.ledger.sqlite.low_priority import behind_payments

EVERY_SECONDS = 0.25
#: Bytes that lie ready beyond what was ever written of the log, and how long it must be to be worth that.
AHEAD_BYTES, FROM_BYTES = 64 << 20, 4 << 20
#: Nothing is taken of a disk that has less left than this: the ledger itself grows too.
LEAST_FREE_BYTES = 2 << 30


def log_of(ledger: Path) -> Path:
    """The write-ahead log of a ledger."""
    return ledger.with_name(f"{ledger.name}-wal")


def give_room(path: Path, known: int = 0, ahead: int = AHEAD_BYTES, least: int = FROM_BYTES) -> int | None:
    """Let so many bytes lie ready beyond what was written of a file; how much was, None where that cannot be done.

    `known` is what an earlier call returned: before that is nothing to look for. A file that is shorter than `least`
    is left as it is.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        # Room that was given and not yet written is a hole to those who look.
        written = os.lseek(descriptor, known if known < size else 0, os.SEEK_HOLE) if size else 0
        if written < least or size - written > ahead // 2 or free_bytes(descriptor) < LEAST_FREE_BYTES:
            return written
        # Not `posix_fallocate`: where a file system cannot, that writes into the file, and others write there too.
        allocate = ctypes.CDLL(None, use_errno=True).fallocate
        allocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        if allocate(descriptor, 0, size, written + ahead - size) != 0:  # else a quota or a limit, which may pass
            return None if ctypes.get_errno() in (errno.EOPNOTSUPP, errno.ENOSYS) else written
        # A file system that knows no holes would be asked for more each time.
        return written if os.lseek(descriptor, written, os.SEEK_HOLE) < size + ahead // 2 else None
    finally:
        os.close(descriptor)


def free_bytes(descriptor: int) -> int:
    """What is free on the disk of an open file."""
    disk = os.fstatvfs(descriptor)
    return disk.f_bavail * disk.f_frsize


async def stay_ahead(ledger: Path) -> None:
    """Run for ever, in a thread where it takes time."""
    loop, written = asyncio.get_running_loop(), 0
    with behind_payments("disk-ahead") as thread:
        while True:
            with contextlib.suppress(OSError):  # a disk in trouble is the ledger's to tell
                found = await loop.run_in_executor(thread, give_room, log_of(ledger), written)
                if found is None:
                    return  # this system cannot
                written = found
            await asyncio.sleep(EVERY_SECONDS)
