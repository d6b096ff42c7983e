"""The snapshot file: a head and int64 words, written atomically (fsync, then rename) and verified by a digest.

Layout, little-endian: 8 bytes that name the format, two uint64 (bytes of the head, number of words), the head, the
words (int64), SHA-256 of everything before. The lengths are compared with the file's size before anything is read.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import os
import stat
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from features.errors import BrokenState
from features.kernel.heap import Words, new_heap, with_room

_MAGIC = b"RGSTATE2"
_START = struct.Struct("<8sQQ")
_DIGEST_BYTES = 32
#: Bytes that are read or written at a time; those before them are hashed meanwhile.
_CHUNK_BYTES = 4 << 20
#: Linux alone has it; its flags are WAIT_BEFORE, WRITE and WAIT_AFTER.
_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None) if sys.platform == "linux" else None
_WAIT_WRITE_WAIT = 7
_REPAIR = "Delete it; the state is folded from the ledger."


def write(path: Path, head: bytes, words: Words, *, sync: Callable[[int], None] = os.fsync) -> None:
    """Write a snapshot to `path` atomically: after a power cut the file is the previous one or this one.

    `sync` makes what was written to a file or folder durable.
    Raises: OSError; the partial file is removed then.
    """
    partial = path.with_suffix(".partial")
    digest = hashlib.sha256()
    try:
        with io.FileIO(partial, "w") as file:
            start = _START.pack(_MAGIC, len(head), len(words))
            for part in (memoryview(start), memoryview(head), words.data.cast("B")):
                for at in range(0, len(part), _CHUNK_BYTES):
                    chunk = part[at : at + _CHUNK_BYTES]
                    digest.update(chunk)
                    _write(file, chunk)
                    _write_back(file)
            _write(file, memoryview(digest.digest()))
            sync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    # The rename is durable only after an fsync of the folder: a power cut could bring back the old file.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(folder)
    finally:
        os.close(folder)


def _write_back(file: io.FileIO) -> None:
    """Wait until the disk has what was written: neither other writers of this disk nor `fsync` wait for much then.

    It changes no metadata of the file system, so that no commit of its journal stands in the way of a payment.
    """
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(file.fileno(), 0, 0, _WAIT_WRITE_WAIT)


def _write(file: io.FileIO, part: memoryview) -> None:
    while part:
        part = part[file.write(part) :]


def read(path: Path, room: int) -> tuple[bytes, Words]:
    """The head, and the words in a heap with room for `room` more.

    Raises: BrokenState when the file is not, to the last bit, what `write` wrote; OSError when it cannot be read.
    """
    # Non-blocking: a pipe of that name must not hang the start of a service.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BrokenState("It is not a file.", "Remove it.")
        with io.FileIO(descriptor, closefd=False) as file, ThreadPoolExecutor(1, "snapshot-digest") as hashing:
            return _parts(file, found.st_size, room, hashing)
    finally:
        os.close(descriptor)


def _parts(file: io.FileIO, size: int, room: int, hashing: ThreadPoolExecutor) -> tuple[bytes, Words]:
    digest = hashlib.sha256()
    start = bytearray(_START.size)
    _read_into(file, memoryview(start), digest, hashing)
    magic, head_bytes, words = _START.unpack(start)
    if magic != _MAGIC:
        raise BrokenState("It has no digest: it is of an earlier release, or it is damaged.", _REPAIR)
    if size != len(start) + head_bytes + 8 * words + _DIGEST_BYTES:
        raise BrokenState(f"It has {size:,} bytes, not the length in its header.", _REPAIR)
    head = bytearray(head_bytes)
    _read_into(file, memoryview(head), digest, hashing)
    heap = with_room(new_heap(), words + room)
    _read_into(file, heap[:words].data.cast("B"), digest, hashing)
    if file.read(_DIGEST_BYTES) != hashing.submit(digest.digest).result():
        raise BrokenState("It does not match its digest: it is damaged.", _REPAIR)
    return bytes(head), heap


def _read_into(file: io.FileIO, part: memoryview, digest: hashlib._Hash, hashing: ThreadPoolExecutor) -> None:
    while part:
        count = file.readinto(part[:_CHUNK_BYTES])
        if not count:
            raise BrokenState("It ends too early.", _REPAIR)
        hashing.submit(digest.update, part[:count])
        part = part[count:]
