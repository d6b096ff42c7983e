"""The kernel: one payment in, its feature vector out; the same compiled code online and in replay.

`step` is the only implementation of a window feature (docs/design.md, law 1). `State` calls it for one payment,
`replay_events` for millions. The kernel interprets a few integer tables that the catalogue is compiled into (`Plan`
in features/kernel/plan.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.catalogue.payment_features import fill_profile, fill_ratios, fill_request, mask_of
from features.jit import compiled, prefetch
from features.kernel.counterparties import LIST_WORDS, has_met, meet, met_since
from features.kernel.heap import Words, allocate
from features.kernel.tiles import (
    FILLED,
    NEWEST,
    RECORD_WORDS,
    SEEN,
    TILES,
    Table,
    accumulate,
    add,
    boundary,
    first_since,
    part,
)

Vector = npt.NDArray[np.float64]

ENTITY_COUNT = 6
MS_PER_SECOND = 1000.0
WORDS_PER_LINE = 8  # 64-bit words of a cache line
AHEAD = 3  # events between a prefetch and the use of the memory
ALL = 1  # the filter mask that every payment passes

# columns of the plan's entity table: (first, past the last) row of each other table
FIELDS, HEADS, LISTS, BOUNDS, OUTS = 0, 2, 4, 6, 8
# then, for its tiles: the words that add up, the width, the smallest hop; masks of the filters that any state
# depends on, and of those that the tiles depend on
ADDS, WIDTH, FINEST, BITS, FIELD_BITS, ENTITY_COLUMNS = 10, 11, 12, 13, 14, 15
# kinds of head
FIRST, LAST = 0, 1
# columns of the output table: kind, a, b, tail boundary, head boundary (-1: now), column of the vector, and for
# values read from tiles the shift of a and of b inside their words (`part` in features/kernel/tiles.py)
OUT_KIND, OUT_A, OUT_B, OUT_TAIL, OUT_HEAD, OUT_COLUMN, OUT_SHIFT_A, OUT_SHIFT_B, OUT_COLUMNS = range(9)
# kinds of output
OUT_VALUE, OUT_MAX, OUT_RATIO, OUT_SINCE, OUT_DISTINCT, OUT_IS_NEW, OUT_FIRST = 0, 1, 2, 3, 4, 5, 6


@compiled
def record_words(ents: Table, e: int) -> int:
    """Words of an empty record of entity kind `e`."""
    heads = ents[e, HEADS + 1] - ents[e, HEADS]
    return int(RECORD_WORDS + heads + LIST_WORDS * (ents[e, LISTS + 1] - ents[e, LISTS]))


@compiled
def read_entity(
    heap: Words, e: int, ents: Table, lists: Table, bounds: Table, outs: Table,
    recs: Words, ids: Words, ts: int, cum: Table, out: Vector,
) -> None:  # fmt: skip
    """Write the window features of entity kind `e` into `out`; `recs[e]` is 0 for "no history", -1 for "not sent"."""
    record = recs[e]
    first_out, end_out = ents[e, OUTS], ents[e, OUTS + 1]
    if record < 0:
        for o in range(first_out, end_out):
            out[outs[o, OUT_COLUMN]] = np.nan
        return
    own_bounds = bounds[ents[e, BOUNDS] : ents[e, BOUNDS + 1]]
    now = ts
    if record > 0:
        now = max(ts, heap[record + NEWEST])
        accumulate(heap, record, now, ents[e, ADDS], ents[e, WIDTH], own_bounds, cum)
    heads_at = record + RECORD_WORDS
    lists_at = heads_at + ents[e, HEADS + 1] - ents[e, HEADS]
    for o in range(first_out, end_out):
        kind, a, column = outs[o, OUT_KIND], outs[o, OUT_A], outs[o, OUT_COLUMN]
        tail, head = outs[o, OUT_TAIL], outs[o, OUT_HEAD]
        if kind == OUT_IS_NEW:
            other = ids[lists[a, 0]]
            if other < 0:
                out[column] = np.nan
            elif record == 0 or other == 0:
                out[column] = 1.0
            else:
                at = lists_at + LIST_WORDS * (a - ents[e, LISTS])
                out[column] = 0.0 if has_met(heap, at, other) else 1.0
        elif record == 0:
            out[column] = 0.0 if kind == OUT_VALUE or kind == OUT_DISTINCT else np.nan
        elif kind == OUT_VALUE:
            value = cum[tail, a]
            if head >= 0:
                value -= cum[head, a]
            out[column] = float(part(value, outs[o, OUT_SHIFT_A]))
        elif kind == OUT_MAX:
            out[column] = float(cum[tail, a]) if cum[tail, a] >= 0 else np.nan
        elif kind == OUT_RATIO:
            above, below = cum[tail, a], cum[tail, outs[o, OUT_B]]
            if head >= 0:
                above -= cum[head, a]
                below -= cum[head, outs[o, OUT_B]]
            number = part(below, outs[o, OUT_SHIFT_B])
            out[column] = part(above, outs[o, OUT_SHIFT_A]) / number if number > 0 else np.nan
        elif kind == OUT_SINCE:
            when = heap[heads_at + a - ents[e, HEADS]]
            out[column] = (now - when) / MS_PER_SECOND if when > 0 else np.nan
        elif kind == OUT_FIRST:
            out[column] = np.nan
            if part(cum[tail, a], outs[o, OUT_SHIFT_A]) > 0:
                earliest = boundary(now, own_bounds[tail, 0], own_bounds[tail, 1])
                start = first_since(heap, record, ents[e, WIDTH], a, outs[o, OUT_SHIFT_A], earliest)
                out[column] = (now - start // own_bounds[tail, 1] * own_bounds[tail, 1]) / MS_PER_SECOND
        else:
            at = lists_at + LIST_WORDS * (a - ents[e, LISTS])
            out[column] = float(met_since(heap, at, boundary(now, own_bounds[tail, 0], own_bounds[tail, 1])))


@compiled
def write_entity(
    heap: Words, e: int, ents: Table, fields: Table, heads: Table, lists: Table, bounds: Table,
    recs: Words, ids: Words, ts: int, amount: int, mask: int, weight: int,
) -> int:  # fmt: skip
    """Fold one event into the record of entity kind `e`; 1 if it was too late for the windows."""
    record = recs[e]
    if mask & ALL and ts > heap[record + NEWEST]:
        heap[record + NEWEST] = ts
    heap[record + SEEN] += 1
    at = record + RECORD_WORDS
    for h in range(ents[e, HEADS], ents[e, HEADS + 1]):
        if (mask >> heads[h, 1]) & 1 and weight > 0:
            if heads[h, 0] == LAST:
                heap[at] = max(heap[at], ts)
            elif heap[at] == 0 or ts < heap[at]:
                heap[at] = ts
        at += 1
    for k in range(ents[e, LISTS], ents[e, LISTS + 1]):
        other = ids[lists[k, 0]]
        if (mask >> lists[k, 1]) & 1 and other > 0:
            meet(heap, at, lists[k, 2], lists[k, 3], heap[record + NEWEST], other, ts)
        at += LIST_WORDS
    if mask & ents[e, FIELD_BITS] == 0:
        return 0
    return add(
        heap, record, e, fields[ents[e, FIELDS] : ents[e, FIELDS + 1]], ents[e, ADDS], ents[e, WIDTH],
        bounds[ents[e, BOUNDS] : ents[e, BOUNDS + 1]], ents[e, FINEST], ts, amount, mask, weight,
    )  # fmt: skip


@compiled
def step(
    heap: Words, ents: Table, fields: Table, heads: Table, lists: Table, bounds: Table, outs: Table, ratios: Table,
    layout: Words, cum: Table, recs: Words, ids: Words, seen: Words, ts: int, amount: int, extra: Vector,
    profile: Vector, out: Vector, keep: bool,
) -> int:  # fmt: skip
    """Observe one payment and, if `keep`, fold it in afterwards; the number of entities it was too late for.

    recs: int64[6], offset of each entity's record, 0 = no history yet, -1 = not sent; new records are
    written back. ids: int64[6], the identity of each entity in the counterparty lists of others, -1 = not sent:
    `recs` itself where records never move, else a stable identity above 0. seen: int64[6], how many events each
    entity's state had folded (-1 = not sent). ts: event time in ms. amount: reference minor units, -1 = unknown.
    extra, profile: inputs from the request and the profiles (features/catalogue/payment_features.py). out:
    float64[columns], NaN = missing; length 0 computes no features.
    """
    for e in range(ENTITY_COUNT):
        seen[e] = recs[e] if recs[e] <= 0 else heap[recs[e] + SEEN]
    if out.size:
        fill_request(layout, ts, amount, extra, out)
        fill_profile(layout, ts, extra, profile, out)
        for e in range(ENTITY_COUNT):
            read_entity(heap, e, ents, lists, bounds, outs, recs, ids, ts, cum, out)
        fill_ratios(ratios, amount, out)
    late = 0
    if keep:
        mask = mask_of(layout, ts, amount, extra)
        for e in range(ENTITY_COUNT):
            if recs[e] == 0:
                recs[e] = allocate(heap, record_words(ents, e))
        for e in range(ENTITY_COUNT):
            if recs[e] > 0:
                late += write_entity(heap, e, ents, fields, heads, lists, bounds, recs, ids, ts, amount, mask, 1)
    return late


@compiled
def annotate(
    heap: Words, ents: Table, fields: Table, heads: Table, lists: Table, bounds: Table,
    recs: Words, ids: Words, ts: int, amount: int, bit: int, weight: int,
) -> int:  # fmt: skip
    """Fold in a label or outcome of an earlier payment (at `ts`): one filter bit; weight -1 retracts it.

    An entity whose state does not depend on the filter is not touched and does not count the event as seen.
    """
    late = 0
    for e in range(ENTITY_COUNT):
        if recs[e] > 0 and (ents[e, BITS] >> bit) & 1:
            late += write_entity(heap, e, ents, fields, heads, lists, bounds, recs, ids, ts, amount, 1 << bit, weight)
    return late


@compiled
def prefetch_entity(heap: Words, e: int, ents: Table, record: int) -> None:
    """Prefetch the tiles and lists of an entity into the cache: replay is bound by memory latency."""
    end = heap[record + TILES] + heap[record + FILLED] * ents[e, WIDTH]
    for word in range(heap[record + TILES], end, WORDS_PER_LINE):
        prefetch(heap, word)
    at = record + RECORD_WORDS + ents[e, HEADS + 1] - ents[e, HEADS]
    for _ in range(ents[e, LISTS], ents[e, LISTS + 1]):
        end = heap[at] + 2 * heap[at + 2]
        for word in range(heap[at], end, WORDS_PER_LINE):
            prefetch(heap, word)
        at += LIST_WORDS


@compiled
def place_of(ents: Table, e: int, codes: Table, rows: Words, whats: Words, i: int) -> int:
    """Index of entity kind `e` of event `i` in the table of records; -1 if not sent or not affected by the event."""
    if whats[i] != 0 and (ents[e, BITS] >> whats[i]) & 1 == 0:
        return -1
    return int(codes[rows[i], e])


@compiled
def replay_events(
    heap: Words, ents: Table, fields: Table, heads: Table, lists: Table, bounds: Table, outs: Table, ratios: Table,
    layout: Words, cum: Table, table: Words, rows: Words, whats: Words, begin: int, end: int, codes: Table,
    recs: Words, seen: Words, ts: Words, amounts: Words, extra: Vector, profile: Vector, out: Vector, first_row: int,
    slack: int,
) -> int:  # fmt: skip
    """Run events `begin..end` of a history; the index of the first event not run (`end`, or the heap must grow).

    rows: int64[events], row of the payment each event is about. whats: int64[events], 0 for the payment itself,
    else the filter bit that became known. codes: int64[payments, 6], index of each entity in `table`
    (-1 = not sent), which holds the offset of its record. recs, seen: int64[6], scratch. out:
    float64[payments of this chunk, columns].
    """
    for i in range(begin, end):
        if heap[0] + slack > heap.size:
            return i
        row = rows[i]
        for e in range(ENTITY_COUNT):
            place = place_of(ents, e, codes, rows, whats, min(i + 2 * AHEAD, end - 1))
            if place >= 0 and table[place] > 0:
                prefetch(heap, table[place])
                prefetch(heap, table[place] + WORDS_PER_LINE)
            place = place_of(ents, e, codes, rows, whats, min(i + AHEAD, end - 1))
            if place >= 0 and table[place] > 0 and whats[min(i + AHEAD, end - 1)] == 0:
                prefetch_entity(heap, e, ents, table[place])
            place = place_of(ents, e, codes, rows, whats, i)
            recs[e] = table[place] if place >= 0 else -1
        if whats[i] == 0:
            step(
                heap, ents, fields, heads, lists, bounds, outs, ratios, layout, cum, recs, recs, seen, ts[row],
                amounts[row], extra[row], profile[row], out[row - first_row], True,
            )  # fmt: skip
            for e in range(ENTITY_COUNT):
                if codes[row, e] >= 0:
                    table[codes[row, e]] = recs[e]
        else:
            annotate(heap, ents, fields, heads, lists, bounds, recs, recs, ts[row], amounts[row], whats[i], 1)
    return end
