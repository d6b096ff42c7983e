"""A Bloom filter that grows: a full one is followed by one of twice the size.

A negative is certain and spares nearly every payment a query of the ledger; about one new id in three hundred is a
false positive.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from rbloom import Bloom

FALSE_POSITIVES = 1 / 300
FIRST_IDS = 1 << 20  # a megabyte and a half


class BloomFilter:
    """A growing set of ids with false positives and no false negatives."""

    def __init__(self, ids: Iterable[Hashable] = (), count: int = 0) -> None:
        """Start with these ids, `count` of them: they share one filter, which is half empty."""
        self._capacity = max(FIRST_IDS, 2 * count)
        self._room = self._capacity - count
        self._filters = [Bloom(self._capacity, FALSE_POSITIVES)]
        self._filters[0].update(ids)

    def __contains__(self, one: Hashable) -> bool:
        for ids in self._filters:
            if one in ids:
                return True
        return False

    def add(self, one: Hashable) -> None:
        """Add one id."""
        if self._room == 0:
            self._capacity *= 2
            self._room = self._capacity
            self._filters.append(Bloom(self._capacity, FALSE_POSITIVES))
        self._room -= 1
        self._filters[-1].add(one)
