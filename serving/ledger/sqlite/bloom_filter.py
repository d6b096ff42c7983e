"""A growing blocked Bloom filter of ids, two bytes per id (Putze, Sanders and Singler 2007).

A negative is certain and spares nearly every payment a query of the ledger; about one new id in three hundred is a
false positive. Each id sets four bits of one 64-bit word, so a look-up touches one cache line. A full filter is
followed by one of twice the size.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

IDS_PER_WORD = 4
FIRST_WORDS = 1 << 18  # two megabytes: a million ids
_BIT = tuple(1 << place for place in range(64))
_SHIFTS = (40, 46, 52, 58)  # the bits of a hash that choose the bits of the word; the lower ones choose the word


class BloomFilter:
    """A growing set of 64-bit hashes with false positives and no false negatives."""

    def __init__(self) -> None:
        self._words: list[array[int]] = []
        self._room = 0

    def __contains__(self, hashed: int) -> bool:
        bits = _BIT[hashed >> 40 & 63] | _BIT[hashed >> 46 & 63] | _BIT[hashed >> 52 & 63] | _BIT[hashed >> 58 & 63]
        for words in self._words:
            if words[hashed & (len(words) - 1)] & bits == bits:
                return True
        return False

    def add(self, hashed: int) -> None:
        """Add one hash."""
        if self._room == 0:
            self._grow(1)
        self._room -= 1
        words = self._words[-1]
        bits = _BIT[hashed >> 40 & 63] | _BIT[hashed >> 46 & 63] | _BIT[hashed >> 52 & 63] | _BIT[hashed >> 58 & 63]
        words[hashed & (len(words) - 1)] |= bits

    def add_all(self, hashes: Iterable[int] | npt.NDArray[np.uint64]) -> None:
        """Add many hashes, vectorised: the ids of a ledger at start."""
        many = hashes if isinstance(hashes, np.ndarray) else np.fromiter(hashes, np.int64).view(np.uint64)
        if len(many) == 0:
            return
        self._grow(len(many))
        words = np.frombuffer(self._words[-1], np.uint64)
        one = np.uint64(1)
        bits = np.zeros(len(many), np.uint64)
        for shift in _SHIFTS:
            bits |= one << (many >> np.uint64(shift) & np.uint64(63))
        np.bitwise_or.at(words, many & np.uint64(len(words) - 1), bits)
        self._room -= len(many)

    def _grow(self, count: int) -> None:
        size = max(FIRST_WORDS, 2 * len(self._words[-1]) if self._words else 0)
        while size * IDS_PER_WORD < count:
            size *= 2
        self._words.append(array("Q", bytes(8 * size)))
        self._room = size * IDS_PER_WORD
