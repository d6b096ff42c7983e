"""One entity's record as a short byte string, away from the heap it was in, and back again; compiled.

A store outside the process keeps for each entity a *string*: a header, the packed record, and a tail of
events that were appended since. Whoever reads it unpacks the record into a scratch heap and folds the
tail with the kernel's own `write_entity` (law 1); whoever finds the tail long packs the sum anew.

Packed numbers are LEB128 variable-length integers, signed ones zigzag (as in Protocol Buffers), words of
a tile that say nothing are left out: most entities are nearly empty. Packed bytes are canonical: after
tidying as of the newest event they depend on the events and their order alone, not on when they were
packed before, because tiles only ever merge to coarser hops that contain the finer ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.jit import compiled
from features.kernel.counterparties import LENGTH, LIST_WORDS, OFFSET, ROOM
from features.kernel.heap import FREE_LISTS, HEADER_WORDS, KIND_LIST, LARGEST_CAPACITY, Words, take, take_block
from features.kernel.step import ADDS, BOUNDS, ENTITY_COUNT, FIELDS, HEADS, LISTS, WIDTH, record_words, write_entity
from features.kernel.tiles import (
    CAPACITY,
    COUNT,
    COUNT_BITS,
    FIELD_HOW,
    FIELD_WORD,
    FILLED,
    NEWEST,
    NOTHING_YET,
    RECORD_WORDS,
    SEEN,
    TIDY_AT,
    TILES,
    Table,
    tidy,
)

Bytes = npt.NDArray[np.uint8]

FORMAT = 1  # of the strings; a store made with another one is made anew from the ledger

#: Generation (how often the string was packed), then length of the packed record: 32 bits each, little endian.
HEADER_BYTES = 8
EMPTY = bytes(HEADER_BYTES)
# words of an event in the tail, before the identities of the others that this entity remembers
EVENT_TS, EVENT_AMOUNT, EVENT_WHAT, EVENT_WORDS = 0, 1, 2, 3
WORD_BYTES = 8
_MASK = 0xFFFFFFFF
_WEIGHT_ZERO, _WEIGHT_BITS = 128, 8  # weights are stored above the mask, shifted to be positive; then the tag
TAG_BITS = 22


@compiled
def put(out: Bytes, at: int, value: int) -> int:
    """Write a non-negative number (or 64 bits) in 7-bit groups, lowest first; the place after it."""
    while value & ~0x7F != 0:
        out[at] = (value & 0x7F) | 0x80
        value = (value >> 7) & 0x01FFFFFFFFFFFFFF
        at += 1
    out[at] = value
    return at + 1


@compiled
def put_signed(out: Bytes, at: int, value: int) -> int:
    """Write a number of either sign; the place after it."""
    return put(out, at, (value << 1) ^ (value >> 63))


@compiled
def get(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """(number, place after it); the place is -1 when the bytes end before the number does."""
    value, shift = 0, 0
    while at >= 0 and at < end and shift < 64:
        byte = int(data[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, -1


@compiled
def get_signed(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """(number of either sign, place after it), -1 as in `get`."""
    value, at = get(data, at, end)
    return ((value >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(value & 1), at


@compiled
def get_word(data: Bytes, at: int) -> int:
    """A 64-bit little-endian number."""
    value = 0
    for i in range(WORD_BYTES):
        value |= int(data[at + i]) << (8 * i)
    return value


@compiled
def clear(heap: Words) -> None:
    """Make a scratch heap empty again: what is not used yet must be zero."""
    for word in range(FREE_LISTS, heap[0]):
        heap[word] = 0
    heap[0] = HEADER_WORDS


@compiled
def class_of(length: int) -> int:
    """The smallest capacity of a block that holds `length` rows."""
    room = 2
    while room < length:
        room *= 2
    return room


@compiled
def counts_of(fields: Table, ents: Table, e: int) -> int:
    """A bit for each word of a tile that holds two counts."""
    found = 0
    for f in range(ents[e, FIELDS], ents[e, FIELDS + 1]):
        if fields[f, FIELD_HOW] == COUNT:
            found |= 1 << fields[f, FIELD_WORD]
    return found


@compiled
def pack(
    heap: Words, record: int, e: int, ents: Table, fields: Table, lists: Table, bounds: Table, identities: Words,
    out: Bytes,
) -> int:  # fmt: skip
    """Tidy a record and write it packed into `out`; its length in bytes.

    identities: where `recs` were used as identities (the heap of a process), the lasting identity of the record at
    each offset; empty if the lists hold lasting identities already.
    """
    adds, width = ents[e, ADDS], ents[e, WIDTH]
    tidy(heap, record, adds, width, bounds[ents[e, BOUNDS] : ents[e, BOUNDS + 1]])
    newest = heap[record + NEWEST]
    at = put(out, 0, newest)
    at = put(out, at, heap[record + SEEN])
    word = record + RECORD_WORDS
    for _ in range(ents[e, HEADS], ents[e, HEADS + 1]):
        if heap[word] == 0:
            at = put(out, at, 0)
        else:
            difference = newest - heap[word]
            at = put(out, at, ((difference << 1) ^ (difference >> 63)) + 1)
        word += 1
    for _ in range(ents[e, LISTS], ents[e, LISTS + 1]):
        block, length = heap[word + OFFSET], heap[word + LENGTH]
        at = put(out, at, length)
        for i in range(length):
            identity = heap[block + 2 * i]
            if identities.size > 0:
                identity = identities[identity]
            for b in range(WORD_BYTES):
                out[at + b] = (identity >> (8 * b)) & 0xFF
            at = put_signed(out, at + WORD_BYTES, newest - heap[block + 2 * i + 1])
        word += LIST_WORDS
    counts = counts_of(fields, ents, e)
    filled, row = heap[record + FILLED], heap[record + TILES]
    at = put(out, at, filled)
    later = newest
    for _ in range(filled):
        at = put_signed(out, at, later - heap[row])
        later = heap[row]
        told = 0
        for w in range(1, width):
            if heap[row + w] != (0 if w <= adds else NOTHING_YET):
                told |= 1 << (w - 1)
        at = put(out, at, told)
        for w in range(1, width):
            if (told >> (w - 1)) & 1:
                if (counts >> w) & 1:
                    at = put(out, at, heap[row + w] & _MASK)
                    at = put(out, at, (heap[row + w] >> COUNT_BITS) & _MASK)
                else:
                    at = put_signed(out, at, heap[row + w])
        row += width
    return at


@compiled
def unpack(
    heap: Words, e: int, ents: Table, fields: Table, lists: Table, data: Bytes, at: int, end: int
) -> int:  # fmt: skip
    """The record of a packed entity, made in a scratch heap; -1 if the bytes are not one."""
    record = take(heap, record_words(ents, e))
    newest, at = get(data, at, end)
    seen, at = get(data, at, end)
    heap[record + NEWEST], heap[record + SEEN] = newest, seen
    word = record + RECORD_WORDS
    for _ in range(ents[e, HEADS], ents[e, HEADS + 1]):
        told, at = get(data, at, end)
        if told > 0:
            told -= 1
            heap[word] = newest - (((told >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(told & 1))
        word += 1
    for k in range(ents[e, LISTS], ents[e, LISTS + 1]):
        length, at = get(data, at, end)
        if at < 0 or length < 0 or length > lists[k, 2]:
            return -1
        if length > 0:
            room = class_of(length)
            block = take_block(heap, KIND_LIST, room, 2)
            heap[word + OFFSET], heap[word + ROOM], heap[word + LENGTH] = block, room, length
            for i in range(length):
                if at < 0 or at + WORD_BYTES > end:
                    return -1
                heap[block + 2 * i] = get_word(data, at)
                ago, at = get_signed(data, at + WORD_BYTES, end)
                heap[block + 2 * i + 1] = newest - ago
        word += LIST_WORDS
    filled, at = get(data, at, end)
    if at < 0 or filled < 0 or filled > LARGEST_CAPACITY:
        return -1
    if filled == 0:
        return record if at == end else -1
    adds, width, counts = ents[e, ADDS], ents[e, WIDTH], counts_of(fields, ents, e)
    capacity = class_of(filled)
    row = take_block(heap, e, capacity, width)
    heap[record + TILES], heap[record + FILLED] = row, filled
    heap[record + CAPACITY] = heap[record + TIDY_AT] = capacity
    later = newest
    for _ in range(filled):
        ago, at = get_signed(data, at, end)
        later -= ago
        heap[row] = later
        told, at = get(data, at, end)
        for w in range(1, width):
            if (told >> (w - 1)) & 1 == 0:
                heap[row + w] = 0 if w <= adds else NOTHING_YET
            elif (counts >> w) & 1:
                low, at = get(data, at, end)
                high, at = get(data, at, end)
                heap[row + w] = low | (high << COUNT_BITS)
            else:
                heap[row + w], at = get_signed(data, at, end)
        row += width
    return record if at == end else -1


@compiled
def event_words(others: Words, e: int) -> int:
    """Words of one event in the tail of entity kind `e`; `others[e]` has a bit for each kind it remembers."""
    words = EVENT_WORDS
    for kind in range(ENTITY_COUNT):
        words += (others[e] >> kind) & 1
    return words


@compiled
def write_event(
    others: Words, e: int, ts: int, amount: int, mask: int, weight: int, tag: int, ids: Words, out: Words, at: int
) -> int:
    """Write one event for the tail of entity kind `e` at word `at` of `out`; the place after it.

    tag: TAG_BITS bits that tell the events of one moment apart; folding does not look at them.
    """
    out[at + EVENT_TS], out[at + EVENT_AMOUNT] = ts, amount
    out[at + EVENT_WHAT] = mask | ((weight + _WEIGHT_ZERO) << 32) | (tag << (32 + _WEIGHT_BITS))
    at += EVENT_WORDS
    for kind in range(ENTITY_COUNT):
        if (others[e] >> kind) & 1:
            out[at] = ids[kind]
            at += 1
    return at


@compiled
def tail_events(others: Words, e: int, data: Bytes, at: int, end: int) -> int:
    """How many events stand behind the packed record of the string `data[at:end]`."""
    if end - at < HEADER_BYTES:
        return 0
    tail = end - at - HEADER_BYTES - (get_word(data, at) >> 32)
    return tail // (event_words(others, e) * WORD_BYTES)


@compiled
def fold_string(
    heap: Words, e: int, ents: Table, fields: Table, heads: Table, lists: Table, bounds: Table, others: Words,
    data: Bytes, at: int, end: int, recs: Words, met: Words,
) -> int:  # fmt: skip
    """Unpack the string `data[at:end]` of entity kind `e` and fold its tail: the record, or -1 if it is broken.

    recs, met: int64[6] of scratch.
    """
    size = event_words(others, e) * WORD_BYTES
    if end - at < HEADER_BYTES:
        return -1
    length = get_word(data, at) >> 32
    body = at + HEADER_BYTES
    if length < 0 or body + length > end or (end - body - length) % size != 0:
        return -1
    if length:
        record = unpack(heap, e, ents, fields, lists, data, body, body + length)
    else:
        record = take(heap, record_words(ents, e))
    if record < 0:
        return -1
    recs[e] = record
    for event in range(body + length, end, size):
        word = event + EVENT_WORDS * WORD_BYTES
        for kind in range(ENTITY_COUNT):
            met[kind] = -1
            if (others[e] >> kind) & 1:
                met[kind] = get_word(data, word)
                word += WORD_BYTES
        what = get_word(data, event + EVENT_WHAT * WORD_BYTES)
        write_entity(
            heap, e, ents, fields, heads, lists, bounds, recs, met, get_word(data, event + EVENT_TS * WORD_BYTES),
            get_word(data, event + EVENT_AMOUNT * WORD_BYTES), what & _MASK, ((what >> 32) & 0xFF) - _WEIGHT_ZERO,
        )  # fmt: skip
    return record
