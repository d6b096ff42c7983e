"""Compiles the declared features into the integer tables that the kernel interprets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.catalogue.aggregate import FILTERS, HOPS, Aggregate, How
from features.catalogue.catalogue import Catalogue
from features.catalogue.payment_features import PROFILE_FEATURES, REQUEST_FEATURES
from features.domain.payment import ENTITIES
from features.errors import InvalidDeclaration
from features.kernel import step, tiles
from features.kernel.counterparties import LIST_WORDS
from features.kernel.heap import LARGEST_CAPACITY

Ints = npt.NDArray[np.int64]

FOR_EVER = 0  # reach of a list that drops rows only at its cap


class Plan(NamedTuple):
    """The tables of one catalogue, in the order of the kernel's parameters, and two sizes."""

    ents: Ints  # [6, 15]: row ranges of each entity kind in the tables below, and the shape of its tiles
    fields: Ints  # [*, 4]: how a field of a tile accumulates, filter bit, word of the tile, shift in the word
    heads: Ints  # [*, 2]: first or last, filter bit
    lists: Ints  # [*, 4]: other entity, filter bit, cap, reach in ms (0 = for ever)
    bounds: Ints  # [*, 3]: reach and hop in ms, blocker (features/kernel/tiles.py)
    outs: Ints  # [*, 8]: kind, a, b, tail boundary, head boundary, column, shifts of a and b
    ratios: Ints  # [*, 3]: numerator column (-1 = amount), denominator column, column
    layout: Ints  # [3]: see features/catalogue/payment_features.py
    scratch: tuple[int, int]  # shape of the `cum` table
    slack_words: int  # free heap words that one event may need at most


def _rows(values: Sequence[Sequence[int]], width: int) -> Ints:
    return np.array(values, np.int64).reshape(-1, width)


class _Entity:
    """The state that one entity kind needs, collected from its aggregates."""

    def __init__(self, aggregates: Sequence[Aggregate]) -> None:
        self.needs: list[tuple[int, int]] = []  # (how, filter bit) of the fields of its tiles
        self.heads: list[tuple[int, int]] = []
        self.caps: dict[tuple[int, int], tuple[int, int]] = {}  # (other entity, filter bit): (cap, reach)
        self.bounds = sorted({b for a in aggregates for b in _bounds(a).values()})

    def bound_rows(self) -> list[tuple[int, int, int]]:
        """Rows (reach, hop, blocker) of the boundary table, see features/kernel/tiles.py."""
        hops = [hop for _, hop in self.bounds]
        return [
            (reach, hop, max((j for j, other in enumerate(hops) if other % hop), default=-1))
            for reach, hop in self.bounds
        ]

    def place(self, how: int, bit: int) -> tuple[int, int]:
        """(word of the tile, shift in it, -1 = whole word) of a field; sums come first, then counts, then maxima."""
        _place(self.needs, (how, bit))
        sums, counts, maxima = ([n for n in self.needs if n[0] == h] for h in (tiles.SUM, tiles.COUNT, tiles.MAX))
        if how == tiles.SUM:
            return 1 + sums.index((how, bit)), -1
        if how == tiles.COUNT:
            word, half = divmod(counts.index((how, bit)), 2)
            return 1 + len(sums) + word, half * tiles.COUNT_BITS
        return 1 + len(sums) + (len(counts) + 1) // 2 + maxima.index((how, bit)), -1

    @property
    def adds(self) -> int:
        """Words of a tile that add up."""
        counts = sum(how == tiles.COUNT for how, _ in self.needs)
        return sum(how == tiles.SUM for how, _ in self.needs) + (counts + 1) // 2

    @property
    def width(self) -> int:
        """Words of a tile, its start included."""
        return 1 + self.adds + sum(how == tiles.MAX for how, _ in self.needs)

    def bits(self) -> set[int]:
        """The filters that the state depends on."""
        return {bit for _, bit in (*self.needs, *self.heads, *self.caps)}

    def fields(self) -> list[tuple[int, ...]]:
        """Rows of the field table."""
        return [(how, bit, *self.place(how, bit)) for how, bit in self.needs]

    def head(self, kind: int, bit: int) -> int:
        return _place(self.heads, (kind, bit))

    def counterparties(self, a: Aggregate) -> int:
        """Index of the counterparty list that an aggregate reads; its cap and reach serve every such aggregate."""
        key = (ENTITIES.index(a.of or ""), FILTERS[a.where].bit)
        cap, reach = self.caps.get(key, (0, 1))
        if a.over_ms is None:
            reach = FOR_EVER
        elif reach != FOR_EVER:
            reach = max(reach, a.over_ms + a.hop_ms)
        self.caps[key] = max(cap, a.cap), reach
        return list(self.caps).index(key)

    def out(self, a: Aggregate, column: int, first_head: int, first_list: int) -> tuple[int, ...]:
        """The output row of one aggregate; final only after a first pass over all aggregates has placed every field."""
        bit = FILTERS[a.where].bit
        at = {side: self.bounds.index(b) for side, b in _bounds(a).items()}
        tail, head = at.get("tail", -1), at.get("head", -1)
        if a.how is How.IS_NEW:
            return (step.OUT_IS_NEW, first_list + self.counterparties(a), 0, -1, -1, column, -1, -1)
        if a.how is How.DISTINCT:
            met = first_list + self.counterparties(a)
            return (step.OUT_DISTINCT, met, 0, tail, -1, column, -1, -1)
        if a.how in (How.SINCE_FIRST, How.SINCE_LAST) and a.over_ms is None:
            kind = step.FIRST if a.how is How.SINCE_FIRST else step.LAST
            return (step.OUT_SINCE, first_head + self.head(kind, bit), 0, -1, -1, column, -1, -1)
        count, half = self.place(tiles.COUNT, bit)
        if a.how is How.SINCE_FIRST:
            return (step.OUT_FIRST, count, 0, tail, -1, column, half, -1)
        if a.how is How.COUNT:
            return (step.OUT_VALUE, count, 0, tail, head, column, half, -1)
        if a.how is How.SHARE:
            everything, its_half = self.place(tiles.COUNT, 0)
            return (step.OUT_RATIO, count, everything, tail, head, column, half, its_half)
        if a.how is How.MAX:
            return (step.OUT_MAX, self.place(tiles.MAX, bit)[0], 0, tail, head, column, -1, -1)
        total, _ = self.place(tiles.SUM, bit)
        if a.how is How.SUM:
            return (step.OUT_VALUE, total, 0, tail, head, column, -1, -1)
        return (step.OUT_RATIO, total, count, tail, head, column, -1, half)


def _place(known: list[tuple[int, int]], item: tuple[int, int]) -> int:
    if item not in known:
        known.append(item)
    return known.index(item)


def _bounds(a: Aggregate) -> dict[str, tuple[int, int]]:
    """The boundaries (reach, hop) in ms where the window of an aggregate begins (tail) and, if delayed, ends (head)."""
    if a.over_ms is None:
        return {}
    if a.delay_ms:
        return {"head": (a.delay_ms, a.hop_ms), "tail": (a.delay_ms + a.over_ms, a.hop_ms)}
    return {"tail": (a.over_ms, HOPS[a.over_ms])}


@lru_cache(maxsize=8)
def plan_of(catalogue: Catalogue) -> Plan:
    """The kernel's tables for a catalogue.

    Raises: InvalidDeclaration if an entity has no window feature.
    """
    first_attribute = len(REQUEST_FEATURES) + len(PROFILE_FEATURES)
    attributes = len(catalogue.parameters.attributes)
    divisions = [
        (-1 if above == "amount" else catalogue.index[above], catalogue.index[below], catalogue.index[name])
        for above, below, name, *_ in catalogue.ratios
    ]
    numerator, denominator = catalogue.weights["USD"]
    small = int(catalogue.minor_per_major["USD"]) * numerator // denominator
    return compile_plan(
        catalogue.aggregates, first_attribute + attributes, divisions, (first_attribute, attributes, small)
    )


def compile_plan(
    aggregates: Sequence[Aggregate],
    first_column: int,
    ratios: Sequence[tuple[int, int, int]],
    layout: Sequence[int],
) -> Plan:
    """Tables for aggregates whose columns follow each other from `first_column`.

    Raises: InvalidDeclaration if an entity has no window feature.
    """
    ents = np.zeros((step.ENTITY_COUNT, step.ENTITY_COLUMNS), np.int64)
    gathered: dict[int, list[Sequence[int]]] = {
        step.FIELDS: [], step.HEADS: [], step.LISTS: [], step.BOUNDS: [], step.OUTS: []
    }  # fmt: skip
    scratch, slack = [1, 1], 0
    for e, name in enumerate(ENTITIES):
        own = [(first_column + i, a) for i, a in enumerate(aggregates) if a.by == name]
        entity = _Entity([a for _, a in own])
        if not entity.bounds:
            raise InvalidDeclaration([f"{name}: declare at least one window feature, its state needs a reach."])
        first_head, first_list = len(gathered[step.HEADS]), len(gathered[step.LISTS])
        for column, a in own:
            entity.out(a, column, first_head, first_list)  # first pass: places every field
        outs = [entity.out(a, column, first_head, first_list) for column, a in own]
        rows: dict[int, list[Sequence[int]]] = {
            step.FIELDS: list(entity.fields()),
            step.HEADS: list(entity.heads),
            step.LISTS: [(*key, *kept) for key, kept in entity.caps.items()],
            step.BOUNDS: list(entity.bound_rows()),
            step.OUTS: list(outs),
        }
        for table, added in rows.items():
            ents[e, table] = len(gathered[table])
            gathered[table] += added
            ents[e, table + 1] = len(gathered[table])
        ents[e, step.ADDS], ents[e, step.WIDTH] = entity.adds, entity.width
        ents[e, step.BITS] = sum(1 << bit for bit in entity.bits())
        ents[e, step.FIELD_BITS] = sum(1 << bit for bit in {bit for _, bit in entity.needs})
        ents[e, step.FINEST] = min(hop for _, hop in entity.bounds)
        scratch = [max(scratch[0], len(entity.bounds)), max(scratch[1], entity.width)]
        slack += tiles.RECORD_WORDS + len(entity.heads) + LIST_WORDS * len(entity.caps)
        slack += LARGEST_CAPACITY * entity.width + sum(8 * cap for cap, _ in entity.caps.values())
    return Plan(
        ents,
        _rows(gathered[step.FIELDS], 4),
        _rows(gathered[step.HEADS], 2),
        _rows(gathered[step.LISTS], 4),
        _rows(gathered[step.BOUNDS], 3),
        _rows(gathered[step.OUTS], step.OUT_COLUMNS),
        _rows(ratios, 3),
        np.array(layout, np.int64),
        (scratch[0], scratch[1]),
        slack,
    )
