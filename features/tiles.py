"""The window state of one entity: a sorted list of tiles, coarser the older they are.

Sawtooth windows as in Chronon (Airbnb): the head is exact to the event, the tail is rounded down to a
hop. All windows of an entity share one list of tiles `[start, fields...]`. A *boundary* is
`floor((now - reach) / hop) * hop`; a window is what lies at or after its tail boundary (and, when
delayed, before its head boundary). Boundaries only move forward, and their hops divide one another in
order of reach; hence tiles that every finer boundary has passed can be merged to the next hop without
changing any value, now or later. When that happens is a matter of room, not of meaning: the values equal
those of a dense ring of tiles per window, at a fraction of its size.

`now` is the latest event time the entity has seen: a payment that comes late is scored as of that moment,
which is what a ring that has moved on would answer too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.compiled import compiled
from features.heap import LARGEST_CAPACITY, Words, give_back, take_block

Table = npt.NDArray[np.int64]

# words of a record, before its heads and its lists of others
NEWEST, SEEN, TILES, CAPACITY, FILLED, RECORD_WORDS = 0, 1, 2, 3, 4, 5
# how a field of a tile accumulates
COUNT, SUM, MAX = 0, 1, 2
NOTHING_YET = -1  # of a maximum: amounts are never negative


@compiled
def boundary(now: int, reach: int, hop: int) -> int:
    """The earliest event time, in ms, that a window of this reach still holds."""
    return (now - reach) // hop * hop


@compiled
def absorb(into: Words, row: Words, fields: Table) -> None:
    """Add the fields of one tile to another; both are `[start, fields...]`."""
    for f in range(fields.shape[0]):
        if fields[f, 0] == MAX:
            into[1 + f] = max(into[1 + f], row[1 + f])
        else:
            into[1 + f] += row[1 + f]


@compiled
def compact(heap: Words, record: int, fields: Table, bounds: Table) -> None:
    """Drop what no window can reach any more and merge what none tells apart, in place."""
    width = 1 + fields.shape[0]
    block, filled, now = heap[record + TILES], heap[record + FILLED], heap[record + NEWEST]
    last = bounds.shape[0] - 1
    horizon = boundary(now, bounds[last, 0], bounds[last, 1])
    kept = 0
    for i in range(filled):
        row = heap[block + i * width : block + (i + 1) * width]
        if row[0] < horizon:
            continue
        start = row[0]
        for k in range(1, last + 1):
            hop = bounds[k, 1]
            bucket = row[0] // hop * hop
            if bucket + hop > boundary(now, bounds[k - 1, 0], bounds[k - 1, 1]):
                break
            start = bucket
        if kept > 0 and heap[block + (kept - 1) * width] == start:
            absorb(heap[block + (kept - 1) * width : block + kept * width], row, fields)
        else:
            into = block + kept * width
            for w in range(width):
                heap[into + w] = row[w]
            heap[into] = start
            kept += 1
    heap[record + FILLED] = kept


@compiled
def make_room(heap: Words, record: int, kind: int, fields: Table, bounds: Table) -> None:
    """Compact a full block; double it when that leaves it more than half full."""
    compact(heap, record, fields, bounds)
    filled, capacity = heap[record + FILLED], heap[record + CAPACITY]
    if 2 * filled <= capacity or capacity == LARGEST_CAPACITY:
        return
    width = 1 + fields.shape[0]
    old = heap[record + TILES]
    new = take_block(heap, kind, 2 * capacity, width)
    for w in range(filled * width):
        heap[new + w] = heap[old + w]
    give_back(heap, kind, capacity, old)
    heap[record + TILES] = new
    heap[record + CAPACITY] = 2 * capacity


@compiled
def add(
    heap: Words,
    record: int,
    kind: int,
    fields: Table,
    bounds: Table,
    ts: int,
    amount: int,
    mask: int,
    weight: int,
) -> int:
    """Add one event to the tile of its own time; 1 if it comes too late for every window, else 0.

    `mask` has a bit for each filter the event passes; `weight` is 1, or -1 to take a correction back
    (counts and sums only).
    """
    width = 1 + fields.shape[0]
    last = bounds.shape[0] - 1
    if ts < boundary(heap[record + NEWEST], bounds[last, 0], bounds[last, 1]):
        return 1
    if heap[record + CAPACITY] == 0:
        heap[record + TILES] = take_block(heap, kind, 2, width)
        heap[record + CAPACITY] = 2
    elif heap[record + FILLED] == heap[record + CAPACITY]:
        make_room(heap, record, kind, fields, bounds)
    block, filled = heap[record + TILES], heap[record + FILLED]
    start = ts // bounds[0, 1] * bounds[0, 1]
    i = filled
    while i > 0 and heap[block + (i - 1) * width] > start:
        i -= 1
    if i == 0 or heap[block + (i - 1) * width] != start:
        for w in range(filled * width - 1, i * width - 1, -1):
            heap[block + width + w] = heap[block + w]
        row = block + i * width
        heap[row] = start
        for f in range(fields.shape[0]):
            heap[row + 1 + f] = NOTHING_YET if fields[f, 0] == MAX else 0
        heap[record + FILLED] = filled + 1
    else:
        row = block + (i - 1) * width
    for f in range(fields.shape[0]):
        if (mask >> fields[f, 1]) & 1:
            if fields[f, 0] == COUNT:
                heap[row + 1 + f] += weight
            elif fields[f, 0] == SUM:
                heap[row + 1 + f] += weight * amount
            elif weight > 0:
                heap[row + 1 + f] = max(heap[row + 1 + f], amount)
    return 0


@compiled
def accumulate(heap: Words, record: int, now: int, fields: Table, bounds: Table, cum: Table) -> None:
    """Fill `cum[b, f]` with each field over all that lies at or after each boundary."""
    width = 1 + fields.shape[0]
    n_fields = fields.shape[0]
    block, i = heap[record + TILES], heap[record + FILLED] - 1
    for b in range(bounds.shape[0]):
        if b == 0:
            for f in range(n_fields):
                cum[0, f] = NOTHING_YET if fields[f, 0] == MAX else 0
        else:
            for f in range(n_fields):
                cum[b, f] = cum[b - 1, f]
        earliest = boundary(now, bounds[b, 0], bounds[b, 1])
        while i >= 0 and heap[block + i * width] >= earliest:
            row = block + i * width + 1
            for f in range(n_fields):
                if fields[f, 0] == MAX:
                    cum[b, f] = max(cum[b, f], heap[row + f])
                else:
                    cum[b, f] += heap[row + f]
            i -= 1
