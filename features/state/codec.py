"""Packs one entity's record into a short byte string and unpacks it; compiled.

A store outside the process keeps a *string* for each entity: a header, the packed record, and a tail of events
appended since. A reader unpacks the record into a scratch heap and folds the tail with the kernel's `write_entity`
(docs/design.md, law 1); a reader that finds a long tail packs the folded record again.

Numbers are variable-length integers (features/state/varint.py), and a tile's words at their initial value are
omitted: most entities are nearly empty. Packed bytes are canonical: after tidying as of the newest event they depend
on the events and their order only, not on earlier packing, because tiles only merge to coarser hops that contain the
finer ones.
"""

from __future__ import annotations

from features.jit import compiled
from features.kernel.counterparties import LENGTH, LIST_WORDS, OFFSET, ROOM
from features.kernel.heap import FREE_LISTS, HEADER_WORDS, KIND_LIST, LARGEST_CAPACITY, Words, allocate, allocate_block
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
from features.state.varint import WORD_BYTES, Bytes, read_signed, read_varint, read_word, write_signed, write_varint

FORMAT = 1  # of the strings; a store with another format is rebuilt from the ledger

#: Generation (how often the string was packed), then length of the packed record: 32 bits each, little-endian.
HEADER_BYTES = 8
EMPTY = bytes(HEADER_BYTES)
# words of an event in the tail, before the identities of the counterparties that this entity keeps
EVENT_TS, EVENT_AMOUNT, EVENT_WHAT, EVENT_WORDS = 0, 1, 2, 3
_MASK = 0xFFFFFFFF
_WEIGHT_ZERO, _WEIGHT_BITS = 128, 8  # the weight is stored above the mask, offset to be positive; then the tag
TAG_BITS = 22


@compiled
def clear(heap: Words) -> None:
    """Empty a scratch heap: its free words must be zero."""
    for word in range(FREE_LISTS, heap[0]):
        heap[word] = 0
    heap[0] = HEADER_WORDS


@compiled
def capacity_for(length: int) -> int:
    """The smallest block capacity that holds `length` rows."""
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
    """Tidy a record and write it packed into `out`; the length in bytes.

    identities: for a heap whose counterparty lists hold offsets of records, the stable identity of the record at
    each offset; empty if the lists already hold stable identities.
    """
    adds, width = ents[e, ADDS], ents[e, WIDTH]
    tidy(heap, record, adds, width, bounds[ents[e, BOUNDS] : ents[e, BOUNDS + 1]])
    newest = heap[record + NEWEST]
    at = write_varint(out, 0, newest)
    at = write_varint(out, at, heap[record + SEEN])
    word = record + RECORD_WORDS
    for _ in range(ents[e, HEADS], ents[e, HEADS + 1]):
        if heap[word] == 0:
            at = write_varint(out, at, 0)
        else:
            difference = newest - heap[word]
            at = write_varint(out, at, ((difference << 1) ^ (difference >> 63)) + 1)
        word += 1
    for _ in range(ents[e, LISTS], ents[e, LISTS + 1]):
        block, length = heap[word + OFFSET], heap[word + LENGTH]
        at = write_varint(out, at, length)
        for i in range(length):
            identity = heap[block + 2 * i]
            if identities.size > 0:
                identity = identities[identity]
            for b in range(WORD_BYTES):
                out[at + b] = (identity >> (8 * b)) & 0xFF
            at = write_signed(out, at + WORD_BYTES, newest - heap[block + 2 * i + 1])
        word += LIST_WORDS
    counts = counts_of(fields, ents, e)
    filled, row = heap[record + FILLED], heap[record + TILES]
    at = write_varint(out, at, filled)
    later = newest
    for _ in range(filled):
        at = write_signed(out, at, later - heap[row])
        later = heap[row]
        written = 0
        for w in range(1, width):
            if heap[row + w] != (0 if w <= adds else NOTHING_YET):
                written |= 1 << (w - 1)
        at = write_varint(out, at, written)
        for w in range(1, width):
            if (written >> (w - 1)) & 1:
                if (counts >> w) & 1:
                    at = write_varint(out, at, heap[row + w] & _MASK)
                    at = write_varint(out, at, (heap[row + w] >> COUNT_BITS) & _MASK)
                else:
                    at = write_signed(out, at, heap[row + w])
        row += width
    return at


@compiled
def unpack(
    heap: Words, e: int, ents: Table, fields: Table, lists: Table, data: Bytes, at: int, end: int
) -> int:  # fmt: skip
    """Unpack a record into a scratch heap; its offset, -1 if the bytes are not a packed record."""
    record = allocate(heap, record_words(ents, e))
    newest, at = read_varint(data, at, end)
    seen, at = read_varint(data, at, end)
    heap[record + NEWEST], heap[record + SEEN] = newest, seen
    word = record + RECORD_WORDS
    for _ in range(ents[e, HEADS], ents[e, HEADS + 1]):
        code, at = read_varint(data, at, end)
        if code > 0:
            code -= 1
            heap[word] = newest - (((code >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(code & 1))
        word += 1
    for k in range(ents[e, LISTS], ents[e, LISTS + 1]):
        length, at = read_varint(data, at, end)
        if at < 0 or length < 0 or length > lists[k, 2]:
            return -1
        if length > 0:
            room = capacity_for(length)
            block = allocate_block(heap, KIND_LIST, room, 2)
            heap[word + OFFSET], heap[word + ROOM], heap[word + LENGTH] = block, room, length
            for i in range(length):
                if at < 0 or at + WORD_BYTES > end:
                    return -1
                heap[block + 2 * i] = read_word(data, at)
                ago, at = read_signed(data, at + WORD_BYTES, end)
                heap[block + 2 * i + 1] = newest - ago
        word += LIST_WORDS
    filled, at = read_varint(data, at, end)
    if at < 0 or filled < 0 or filled > LARGEST_CAPACITY:
        return -1
    if filled == 0:
        return record if at == end else -1
    adds, width, counts = ents[e, ADDS], ents[e, WIDTH], counts_of(fields, ents, e)
    capacity = capacity_for(filled)
    row = allocate_block(heap, e, capacity, width)
    heap[record + TILES], heap[record + FILLED] = row, filled
    heap[record + CAPACITY] = heap[record + TIDY_AT] = capacity
    later = newest
    for _ in range(filled):
        ago, at = read_signed(data, at, end)
        later -= ago
        heap[row] = later
        written, at = read_varint(data, at, end)
        for w in range(1, width):
            if (written >> (w - 1)) & 1 == 0:
                heap[row + w] = 0 if w <= adds else NOTHING_YET
            elif (counts >> w) & 1:
                low, at = read_varint(data, at, end)
                high, at = read_varint(data, at, end)
                heap[row + w] = low | (high << COUNT_BITS)
            else:
                heap[row + w], at = read_signed(data, at, end)
        row += width
    return record if at == end else -1


@compiled
def event_words(others: Words, e: int) -> int:
    """Words of one event in the tail of entity kind `e`; `others[e]` has a bit for each counterparty kind it keeps."""
    words = EVENT_WORDS
    for kind in range(ENTITY_COUNT):
        words += (others[e] >> kind) & 1
    return words


@compiled
def write_event(
    others: Words, e: int, ts: int, amount: int, mask: int, weight: int, tag: int, ids: Words, out: Words, at: int
) -> int:
    """Write one event for the tail of entity kind `e` at word `at` of `out`; the place after it.

    tag: TAG_BITS bits that distinguish events of the same time; folding ignores them.
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
    """Number of events in the tail of the string `data[at:end]`."""
    if end - at < HEADER_BYTES:
        return 0
    tail = end - at - HEADER_BYTES - (read_word(data, at) >> 32)
    return tail // (event_words(others, e) * WORD_BYTES)


@compiled
def fold_string(
    heap: Words, e: int, ents: Table, fields: Table, heads: Table, lists: Table, bounds: Table, others: Words,
    data: Bytes, at: int, end: int, recs: Words, met: Words,
) -> int:  # fmt: skip
    """Unpack the string `data[at:end]` of entity kind `e` and fold its tail; the record, -1 if the string is broken.

    recs, met: int64[6] of scratch.
    """
    size = event_words(others, e) * WORD_BYTES
    if end - at < HEADER_BYTES:
        return -1
    length = read_word(data, at) >> 32
    body = at + HEADER_BYTES
    if length < 0 or body + length > end or (end - body - length) % size != 0:
        return -1
    if length:
        record = unpack(heap, e, ents, fields, lists, data, body, body + length)
    else:
        record = allocate(heap, record_words(ents, e))
    if record < 0:
        return -1
    recs[e] = record
    for event in range(body + length, end, size):
        word = event + EVENT_WORDS * WORD_BYTES
        for kind in range(ENTITY_COUNT):
            met[kind] = -1
            if (others[e] >> kind) & 1:
                met[kind] = read_word(data, word)
                word += WORD_BYTES
        what = read_word(data, event + EVENT_WHAT * WORD_BYTES)
        write_entity(
            heap, e, ents, fields, heads, lists, bounds, recs, met, read_word(data, event + EVENT_TS * WORD_BYTES),
            read_word(data, event + EVENT_AMOUNT * WORD_BYTES), what & _MASK, ((what >> 32) & 0xFF) - _WEIGHT_ZERO,
        )  # fmt: skip
    return record
