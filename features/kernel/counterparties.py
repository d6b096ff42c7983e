"""The counterparties of an entity and when each was last seen: the state behind `distinct` and `is_new`.

A list holds at most `cap` rows `[identity, last seen in ms]`. One list serves every window: the distinct
counterparties of a window are the rows last seen in it, exact up to the cap and saturated there. The most recently
seen are a mergeable summary: the result does not depend on the order of arrival.
"""

from __future__ import annotations

from features.jit import compiled
from features.kernel.heap import KIND_LIST, Words, allocate_block, free_block

# words of a list inside its entity's record
OFFSET, ROOM, LENGTH, LIST_WORDS = 0, 1, 2, 3


@compiled
def meet(heap: Words, at: int, cap: int, reach: int, now: int, identity: int, ts: int) -> None:
    """Record that the owner met `identity` at `ts`; at the cap the least recently seen row is replaced.

    A row last seen more than `reach` ms before `now` lies in no window, so it is reused (reach 0: it always counts).
    """
    block, length = heap[at + OFFSET], heap[at + LENGTH]
    earliest = now - reach if reach > 0 else 0
    if ts < earliest:
        return
    oldest = 0
    for i in range(length):
        row = block + 2 * i
        if heap[row] == identity:
            heap[row + 1] = max(heap[row + 1], ts)
            return
        if heap[row + 1] < heap[block + 2 * oldest + 1]:
            oldest = i
    if length == cap or (length > 0 and heap[block + 2 * oldest + 1] < earliest):
        if heap[block + 2 * oldest + 1] < ts:
            heap[block + 2 * oldest] = identity
            heap[block + 2 * oldest + 1] = ts
        return
    room = heap[at + ROOM]
    if length == room:
        larger = max(2, 2 * room)
        new = allocate_block(heap, KIND_LIST, larger, 2)
        for w in range(2 * length):
            heap[new + w] = heap[block + w]
        if room:
            free_block(heap, KIND_LIST, room, block)
        heap[at + OFFSET] = new
        heap[at + ROOM] = larger
        block = new
    heap[block + 2 * length] = identity
    heap[block + 2 * length + 1] = ts
    heap[at + LENGTH] = length + 1


@compiled
def met_since(heap: Words, at: int, earliest: int) -> int:
    """How many counterparties were last seen at or after `earliest`."""
    block, found = heap[at + OFFSET], 0
    for i in range(heap[at + LENGTH]):
        if heap[block + 2 * i + 1] >= earliest:
            found += 1
    return found


@compiled
def has_met(heap: Words, at: int, identity: int) -> bool:
    """Whether `identity` is in the list."""
    block = heap[at + OFFSET]
    for i in range(heap[at + LENGTH]):
        if heap[block + 2 * i] == identity:
            return True
    return False
