"""Preallocates the WAL with fallocate: ext4 and XFS with delayed allocation otherwise stall commits for 10-20 ms.

The stall comes with each write-back, every half minute. Preallocated blocks need no allocation and no change of the
file's length. SQLite reads only as far as its own frames are valid and ignores what lies beyond them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from serving.ledger.sqlite.low_priority import low_priority_executor

EVERY_SECONDS = 0.25
#: Bytes preallocated beyond the written part of the WAL, and the WAL size from which that is worth it.
AHEAD_BYTES, FROM_BYTES = 64 << 20, 4 << 20
#: Below this much free disk space nothing is preallocated: the ledger itself grows too.
LEAST_FREE_BYTES = 2 << 30


def log_of(ledger: Path) -> Path:
    """The WAL of a ledger."""
    return ledger.with_name(f"{ledger.name}-wal")


def preallocate(
    path: Path,
    known: int = 0,
    ahead: int = AHEAD_BYTES,
    least: int = FROM_BYTES,
    *,
    least_free: int = LEAST_FREE_BYTES,
    find_hole: Callable[[int, int, int], int] = os.lseek,
) -> int | None:
    """Preallocate `ahead` bytes beyond the written part of a file; returns the length of that part.

    None where the system cannot preallocate. `known` is what an earlier call returned: the search for the end of
    the written part starts there. A file shorter than `least` is left as it is, and so is a disk with less than
    `least_free` bytes free. `find_hole` is `lseek`, which is called with SEEK_HOLE.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        # SEEK_HOLE reports preallocated, unwritten blocks as a hole.
        written = find_hole(descriptor, known if known < size else 0, os.SEEK_HOLE) if size else 0
        if written < least or size - written > ahead // 2 or free_bytes(descriptor) < least_free:
            return written
        # Not `posix_fallocate`: without support of the file system it writes zeros, over what SQLite writes.
        allocate = ctypes.CDLL(None, use_errno=True).fallocate
        allocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        if allocate(descriptor, 0, size, written + ahead - size) != 0:
            # Any other error (quota, limit) may pass.
            return None if ctypes.get_errno() in (errno.EOPNOTSUPP, errno.ENOSYS) else written
        # Without SEEK_HOLE support the file would grow with each call.
        return written if find_hole(descriptor, written, os.SEEK_HOLE) < size + ahead // 2 else None
    finally:
        os.close(descriptor)


def free_bytes(descriptor: int) -> int:
    """Free bytes on the file system of an open file."""
    disk = os.fstatvfs(descriptor)
    return disk.f_bavail * disk.f_frsize


async def run_preallocation(
    ledger: Path,
    *,
    every_seconds: float = EVERY_SECONDS,
    allocate: Callable[[Path, int], int | None] = preallocate,
) -> None:
    """Keep the WAL preallocated, in a low-priority thread, until cancelled or until `allocate` returns None."""
    loop, written = asyncio.get_running_loop(), 0
    with low_priority_executor("wal-preallocate") as thread:
        while True:
            with contextlib.suppress(OSError):  # the ledger reports a failing disk
                found = await loop.run_in_executor(thread, allocate, log_of(ledger), written)
                if found is None:
                    return  # not supported here
                written = found
            await asyncio.sleep(every_seconds)
