"""The allocator of all window state: one flat int64 array of records, tile blocks and counterparty lists.

The array reserves addresses for more entities than fit into memory; the system gives memory to a page on its first
write. So the heap of a running service is never copied to a larger one: for a million entities a copy would stall
every payment in flight for half a second.

Word 0 is the offset of the first free word. Words 8..63 head one free list per (block kind, size class), so a block
that grew passes its old room to the next entity of its kind. Offset 0 means "none".
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


#: Bytes of address space reserved for a growing heap: far more than the memory of any machine this runs on.
RESERVED_BYTES = 1 << 36
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0  # MAP_NORESERVE, which `mmap` names only from Python 3.13 on


def new_heap(words: int | None = None) -> Words:
    """An empty heap of `words` words; by default one that grows in place (untouched pages cost no memory)."""
    heap = _reserved() if words is None else np.zeros(max(words, 2 * HEADER_WORDS), np.int64)
    heap[0] = HEADER_WORDS
    return heap


def _reserved() -> Words:
    try:
        room = mmap.mmap(-1, RESERVED_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    except (OSError, ValueError, OverflowError, AttributeError):  # the system or a limit refuses the reservation
        return np.zeros(1 << 20, np.int64)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            room.madvise(mmap.MADV_HUGEPAGE)  # as numpy does for its own large arrays: fewer TLB misses
    return np.frombuffer(room, np.int64)


_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of linux/mman.h, from Linux 5.14 on
#: Bytes of one madvise call, one huge page: no other thread can map or unmap memory while it runs.
_STEP_BYTES = 2 << 20


def prefault(heap: Words, first: int, words: int) -> bool:
    """Pre-fault the pages of `words` words from word `first` on; whether the system did so.

    Without it the first write into each huge page waits while the system clears the page, 5 ms on some machines.
    Pre-faulting keeps what is written there, releases the GIL and may run concurrently with a writer.
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
def allocate(heap: Words, words: int) -> int:
    """The offset of `words` words for a record that is never freed."""
    offset = heap[0]
    heap[0] = offset + words
    return int(offset)


@compiled
def free_list(kind: int, capacity: int) -> int:
    """The word that heads the free list of blocks of this kind and capacity."""
    size_class = 0
    room = 2
    while room < capacity:
        room *= 2
        size_class += 1
    return FREE_LISTS + kind * CLASSES + size_class


@compiled
def allocate_block(heap: Words, kind: int, capacity: int, width: int) -> int:
    """The offset of `capacity` rows of `width` words, from the free list of the kind if it has a block."""
    head = free_list(kind, capacity)
    offset = heap[head]
    if offset:
        heap[head] = heap[offset]
        return int(offset)
    offset = heap[0]
    heap[0] = offset + capacity * width
    return int(offset)


@compiled
def free_block(heap: Words, kind: int, capacity: int, offset: int) -> None:
    """Return a block to the free list of its kind."""
    head = free_list(kind, capacity)
    heap[offset] = heap[head]
    heap[head] = offset
