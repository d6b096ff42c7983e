"""The heap of a running service grows in place; where the system gives no room for that, it is copied."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from features.kernel.heap import HEADER_WORDS, new_heap, prefault, with_room
from features.state.memory import SHARDS, KeyTable


def test_a_growing_heap_is_never_copied() -> None:
    heap = new_heap()
    heap[0] = 50_000_000  # 400 MB of records
    assert with_room(heap, 10_000_000) is heap


def test_reserved_room_takes_no_memory_until_it_is_written() -> None:
    code = (
        "import resource; from features.kernel.heap import new_heap\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); heaps = [new_heap() for _ in range(20)]; print(peak() - before)"
    )
    unit = 1 if sys.platform == "darwin" else 1024
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert int(grown) * unit < 64 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space of a process")
def test_without_room_for_addresses_a_heap_is_small_and_copied() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    try:
        heap = new_heap()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert 8 * heap.size < 1 << 30
    heap[HEADER_WORDS] = 7
    heap[0] = heap.size - 1
    larger = with_room(heap, 100)
    assert larger.size >= heap.size + 100
    assert larger[HEADER_WORDS] == 7 and larger[0] == heap[0]


def test_a_heap_of_a_given_size_is_no_larger() -> None:
    assert new_heap(1_000).size == 1_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives memory ahead")
def test_memory_is_prefaultd_beside_what_is_written_and_changes_nothing() -> None:
    code = (
        "from features.kernel.heap import new_heap, prefault\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "heap = new_heap(); heap[100] = 7\n"
        "before = resident(); given = prefault(heap, 100, 4 << 20); grown = resident() - before\n"
        "print(int(given), grown, int(heap[100]), int(heap[101]))"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    given, grown, kept, empty = map(int, text.split())
    assert (kept, empty) == (7, 0)
    assert not given or grown > 28 << 20  # an older kernel says no, and nothing is lost


def test_no_memory_is_asked_for_beyond_the_end() -> None:
    heap = new_heap(1_000)
    assert not prefault(heap, 2_000, 1_000)
    assert heap[0] == HEADER_WORDS


def test_no_insertion_of_a_key_copies_more_than_a_small_part_of_the_others() -> None:
    table = KeyTable({f"u-{number}": number for number in range(1, 50_000)})
    largest = max(map(len, table.shards))
    assert largest < 3 * 50_000 / SHARDS
    assert dict(table.items()) == {f"u-{number}": number for number in range(1, 50_000)}
    assert len(table) == 49_999
