"""A Bloom filter that grows: a full one is followed by one of twice the size.

A negative is certain and spares nearly every payment a query of the ledger; about one new id in three hundred is a
false positive. Its bits mean the same in every process, so that a snapshot carries them: 3 bytes for each id.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec
from rbloom import Bloom

FALSE_POSITIVES = 1 / 300
FIRST_IDS = 1 << 20  # a megabyte and a half

#: Spreads 32 bits over the 127 that the filter asks for; odd, so that no two hashes become one.
_SPREAD = 0x5851F42D4C957F2D14057B7F


def hash_of(one: str) -> int:
    """The hash of an id, in every process the same, which Python's own is not.

    Of a hundred million ids two in a hundred share their 32 bits with another, which costs a query of the ledger.
    """
    return zlib.crc32(one.encode()) * _SPREAD


class _Dumped(msgspec.Struct):
    capacity: int
    room: int
    filters: list[bytes]


class BloomFilter:
    """A growing set of ids with false positives and no false negatives."""

    def __init__(self, ids: Iterable[str] = (), count: int = 0) -> None:
        """Start with these ids, `count` of them: they share one filter, which is half empty."""
        self._capacity = max(FIRST_IDS, 2 * count)
        self._room = self._capacity - count
        self._filters = [Bloom(self._capacity, FALSE_POSITIVES, hash_of)]
        self._filters[0].update(ids)

    def __contains__(self, one: str) -> bool:
        for ids in self._filters:
            if one in ids:
                return True
        return False

    def add(self, one: str) -> None:
        """Add one id."""
        if self._room == 0:
            self._capacity *= 2
            self._room = self._capacity
            self._filters.append(Bloom(self._capacity, FALSE_POSITIVES, hash_of))
        self._room -= 1
        self._filters[-1].add(one)

    def encoded(self) -> bytes:
        """The filter as bytes, for `BloomFilter.decoded`."""
        filters = [one.save_bytes() for one in self._filters]
        return msgspec.msgpack.encode(_Dumped(self._capacity, self._room, filters))

    @staticmethod
    def decoded(encoded: bytes) -> BloomFilter:
        """The filter that `encoded` wrote.

        Raises: msgspec.DecodeError for one of another release.
        """
        dumped = msgspec.msgpack.decode(encoded, type=_Dumped)
        known = BloomFilter.__new__(BloomFilter)
        known._capacity, known._room = dumped.capacity, dumped.room
        known._filters = [Bloom.load_bytes(one, hash_of) for one in dumped.filters]
        return known
