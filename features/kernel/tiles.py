"""The window state of one entity: a sorted list of tiles, coarser the older they are.

Sawtooth windows as in Chronon (Airbnb): the head is exact to the event, the tail is rounded down to a
hop. All windows of an entity share one list of tiles. A *boundary* is
`floor((now - reach) / hop) * hop`; a window is what lies at or after its tail boundary (and, when
delayed, before its head boundary). Boundaries only move forward, so tiles that every boundary of a finer
hop has passed can be merged to a coarser hop without changing any value, now or later. When that happens
is a matter of room, not of meaning: the values equal those of a dense ring of tiles per window, at a
fraction of its size.

A tile is `[start, sums and counts..., maxima...]` in 64-bit words. Counts share words, two a word of 32 bits
each: adding words adds both. Reading the tiles is bound by memory, so narrow tiles are fast tiles.

`now` is the latest event time the entity has seen: a late payment is scored as of that moment, as a ring that has
advanced would score it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.domain.money import UNKNOWN_AMOUNT
from features.jit import compiled
from features.kernel.heap import LARGEST_CAPACITY, Words, allocate_block, free_block

Table = npt.NDArray[np.int64]

# words of a record, before its heads and its counterparty lists
NEWEST, SEEN, TILES, CAPACITY, FILLED, TIDY_AT, RECORD_WORDS = 0, 1, 2, 3, 4, 5, 6
# how a field of a tile accumulates
COUNT, SUM, MAX = 0, 1, 2
NOTHING_YET = -1  # of a maximum: amounts are never negative; an unknown one is less, and changes none
COUNT_BITS = 32
# columns of the field table: how, filter bit, word of the tile, shift of a count inside its word
FIELD_HOW, FIELD_BIT, FIELD_WORD, FIELD_SHIFT = 0, 1, 2, 3


@compiled
def boundary(now: int, reach: int, hop: int) -> int:
    """The earliest event time, in ms, that a window of this reach still holds."""
    return (now - reach) // hop * hop


@compiled
def tidy(heap: Words, record: int, adds: int, width: int, bounds: Table) -> None:
    """Drop the tiles that no window reaches and merge those that no window distinguishes, in place.

    adds: words of a tile after its start that add up; the rest, up to `width`, are maxima. bounds: rows
    (reach, hop, blocker), from near to far; the blocker is the farthest boundary whose hop is no multiple of
    this row's hop: only tiles before that boundary may be merged to this hop (-1: all may).
    """
    block, filled, now = heap[record + TILES], heap[record + FILLED], heap[record + NEWEST]
    last = bounds.shape[0] - 1
    edges = heap[heap[0] : heap[0] + last + 1]  # scratch in the free words; they must be zero again at the end
    for k in range(last + 1):
        edges[k] = boundary(now, bounds[k, 0], bounds[k, 1])
    kept = 0
    for i in range(filled):
        row = block + i * width
        start = heap[row]
        if start < edges[last]:
            continue
        for k in range(last, -1, -1):  # the coarsest hop whose bucket no boundary will cut
            blocker = bounds[k, 2]
            if blocker < 0 or start < edges[blocker]:
                bucket = start // bounds[k, 1] * bounds[k, 1]
                if blocker < 0 or bucket + bounds[k, 1] <= edges[blocker]:
                    start = bucket
                    break
        into = block + (kept - 1) * width
        if kept > 0 and heap[into] == start:
            for w in range(1, 1 + adds):
                heap[into + w] += heap[row + w]
            for w in range(1 + adds, width):
                heap[into + w] = max(heap[into + w], heap[row + w])
        else:
            into += width
            for w in range(width):
                heap[into + w] = heap[row + w]
            heap[into] = start
            kept += 1
    heap[record + FILLED] = kept
    for k in range(last + 1):
        edges[k] = 0


@compiled
def make_room(heap: Words, record: int, kind: int, adds: int, width: int, bounds: Table) -> None:
    """Tidy the tiles, move them to a block of twice the size if too little is free, and set when to tidy next."""
    tidy(heap, record, adds, width, bounds)
    filled, capacity = heap[record + FILLED], heap[record + CAPACITY]
    spare = 1 + filled // 6
    if filled + spare > capacity and capacity < LARGEST_CAPACITY:
        old = heap[record + TILES]
        new = allocate_block(heap, kind, 2 * capacity, width)
        for w in range(filled * width):
            heap[new + w] = heap[old + w]
        free_block(heap, kind, capacity, old)
        heap[record + TILES] = new
        heap[record + CAPACITY] = capacity = 2 * capacity
    heap[record + TIDY_AT] = min(capacity, filled + spare)


@compiled
def add(
    heap: Words, record: int, kind: int, fields: Table, adds: int, width: int, bounds: Table,
    finest: int, ts: int, amount: int, mask: int, weight: int,
) -> int:  # fmt: skip
    """Add one event to the tile of its time; 1 if it is too late for every window, else 0.

    `finest` is the smallest hop, ms. `mask` has a bit for each filter the event passes. `weight` is 1, or -1 to
    take a correction back (counts and sums only). An unknown `amount` (UNKNOWN_AMOUNT) adds to counts only.
    """
    last = bounds.shape[0] - 1
    if ts < boundary(heap[record + NEWEST], bounds[last, 0], bounds[last, 1]):
        return 1
    if heap[record + CAPACITY] == 0:
        heap[record + TILES] = allocate_block(heap, kind, 2, width)
        heap[record + CAPACITY] = heap[record + TIDY_AT] = 2
    elif heap[record + FILLED] >= heap[record + TIDY_AT]:
        make_room(heap, record, kind, adds, width, bounds)
    block, filled = heap[record + TILES], heap[record + FILLED]
    start = ts // finest * finest
    i = filled
    while i > 0 and heap[block + (i - 1) * width] > start:
        i -= 1
    if i == 0 or heap[block + (i - 1) * width] != start:
        for w in range(filled * width - 1, i * width - 1, -1):
            heap[block + width + w] = heap[block + w]
        row = block + i * width
        heap[row] = start
        for w in range(1, width):
            heap[row + w] = 0 if w <= adds else NOTHING_YET
        heap[record + FILLED] = filled + 1
    else:
        row = block + (i - 1) * width
    for f in range(fields.shape[0]):
        if (mask >> fields[f, FIELD_BIT]) & 1:
            at = row + fields[f, FIELD_WORD]
            if fields[f, FIELD_HOW] == COUNT:
                heap[at] += weight << fields[f, FIELD_SHIFT]
            elif fields[f, FIELD_HOW] == SUM:
                heap[at] += weight * amount if amount != UNKNOWN_AMOUNT else 0
            elif weight > 0:
                heap[at] = max(heap[at], amount)
    return 0


@compiled
def accumulate(heap: Words, record: int, now: int, adds: int, width: int, bounds: Table, cum: Table) -> None:
    """Fill `cum[b, w]` with word w aggregated over all tiles at or after boundary b; w = 0 is unused."""
    i = heap[record + FILLED] - 1
    at = heap[record + TILES] + i * width
    for b in range(bounds.shape[0]):
        sums = cum[b]
        if b == 0:
            for w in range(1, width):
                sums[w] = 0 if w <= adds else NOTHING_YET
        else:
            finer = cum[b - 1]
            for w in range(1, width):
                sums[w] = finer[w]
        earliest = boundary(now, bounds[b, 0], bounds[b, 1])
        while i >= 0 and heap[at] >= earliest:
            tile = heap[at : at + width]
            for w in range(1, 1 + adds):
                sums[w] += tile[w]
            for w in range(1 + adds, width):
                sums[w] = max(sums[w], tile[w])
            i -= 1
            at -= width


@compiled
def part(word: int, shift: int) -> int:
    """The count at `shift` (0 or 32) of a word, or the whole word (shift -1)."""
    return word if shift < 0 else (word >> shift) & 0xFFFFFFFF


@compiled
def first_since(heap: Words, record: int, width: int, word: int, shift: int, earliest: int) -> int:
    """Start of the first tile at or after `earliest` that counts something in (word, shift); 0 if none does."""
    block = heap[record + TILES]
    for i in range(heap[record + FILLED]):
        row = block + i * width
        if heap[row] >= earliest and part(heap[row + word], shift) > 0:
            return int(heap[row])
    return 0
