"""One flat int64 array that holds the state of all entities: records, tile blocks, lists of others.

The array is as long as its entities could ever need, but only addresses are reserved: the system gives memory
to pages when they are first written. So the heap of a running service never has to be copied to a larger one,
which for a million entities would hold up every payment under way for half a second.

Word 0 is the first free word. Words 8..63 head one free list per (block kind, capacity class), so that a
block that grew hands its old room to the next entity of its kind. Offset 0 means "none".
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys

import numpy as np
import numpy.typing as npt

from features.jit import compiled

Words = npt.NDArray[np.int64]

HEADER_WORDS = 64
FREE_LISTS = 8
CLASSES = 8  # capacities 2, 4, ... 256
LARGEST_CAPACITY = 2**CLASSES
KIND_LIST = 6  # kinds 0..5 are the tile blocks of the six entities


#: Addresses reserved for a growing heap, bytes: far more than the memory of the machines this runs on.
RESERVED_BYTES = 1 << 36
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0  # MAP_NORESERVE, which `mmap` names only from Python 3.13 on


def new_heap(words: int | None = None) -> Words:
    """A fresh heap of so many words, or one that grows in place; untouched pages cost nothing until they are used."""
    heap = _reserved() if words is None else np.zeros(max(words, 2 * HEADER_WORDS), np.int64)
    heap[0] = HEADER_WORDS
    return heap


def _reserved() -> Words:
    try:
        room = mmap.mmap(-1, RESERVED_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    except (OSError, ValueError, OverflowError, AttributeError):  # a system, or a limit, that gives no such room
        return np.zeros(1 << 20, np.int64)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            room.madvise(mmap.MADV_HUGEPAGE)  # as numpy asks for its own large arrays: fewer misses of addresses
    return np.frombuffer(room, np.int64)


_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of linux/mman.h, from Linux 5.14 on
#: While the system provides so much, no other thread can map or unmap anything: one large page.
_STEP_BYTES = 2 << 20


def provide(heap: Words, first: int, words: int) -> bool:
    """Let the system give memory to these words now, whoever writes them later; whether it did.

    Else the first write into each large page waits while it is cleared, 5 ms on some machines. Changes nothing
    that is written there, gives the interpreter free meanwhile and may run beside the writer.
    """
    if sys.platform != "linux":
        return False
    begin = (heap.ctypes.data + 8 * first) & -mmap.PAGESIZE
    end = (heap.ctypes.data + 8 * min(first + words, heap.size)) & -mmap.PAGESIZE
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    steps = range(begin, end, _STEP_BYTES)
    return end > begin and all(advise(at, min(_STEP_BYTES, end - at), _POPULATE_WRITE) == 0 for at in steps)


def with_room(heap: Words, words: int) -> Words:
    """The same heap, or a larger copy of it, with at least `words` free words."""
    if heap.item(0) + words <= heap.size:
        return heap
    larger = np.zeros(max(2 * heap.size, int(heap[0]) + 2 * words), np.int64)
    larger[: heap[0]] = heap[: heap[0]]
    return larger


@compiled
def take(heap: Words, words: int) -> int:
    """Room for a record that is never given back."""
    offset = heap[0]
    heap[0] = offset + words
    return int(offset)


@compiled
def take_block(heap: Words, kind: int, capacity: int, width: int) -> int:
    """Room for `capacity` rows of `width` words, from the free list of its kind if there is one."""
    size_class = 0
    room = 2
    while room < capacity:
        room *= 2
        size_class += 1
    head = FREE_LISTS + kind * CLASSES + size_class
    offset = heap[head]
    if offset:
        heap[head] = heap[offset]
        return int(offset)
    offset = heap[0]
    heap[0] = offset + capacity * width
    return int(offset)


@compiled
def give_back(heap: Words, kind: int, capacity: int, offset: int) -> None:
    """Hand a block to the free list of its kind."""
    size_class = 0
    room = 2
    while room < capacity:
        room *= 2
        size_class += 1
    head = FREE_LISTS + kind * CLASSES + size_class
    heap[offset] = heap[head]
    heap[head] = offset
