"""Which record a key has: a dictionary in many small ones, so that none ever takes long to grow.

A dictionary that is full is copied to a larger one by the insertion that finds it so: 27 ms at 700 thousand keys,
57 ms at 1.4 million, while a payment waits. Here each copy is one in 256 of that, and they come one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

SHARDS = 256
#: Which shard holds a key: `hash(key) & LAST`.
LAST = SHARDS - 1


class KeyTable:
    """Keys and the offsets of their records, above 0; those who read often look into `shards` themselves.

    >>> table = KeyTable({"u-1": 64})
    >>> table["u-2"] = 128
    >>> table.shards[hash("u-1") & LAST]["u-1"], len(table), sorted(table.items())
    (64, 2, [('u-1', 64), ('u-2', 128)])
    """

    __slots__ = ("shards",)

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self.shards: list[dict[str, int]] = [{} for _ in range(SHARDS)]
        for key, record in (known or {}).items():
            self.shards[hash(key) & LAST][key] = record

    def __setitem__(self, key: str, record: int) -> None:
        self.shards[hash(key) & LAST][key] = record

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def items(self) -> Iterator[tuple[str, int]]:
        """Every key and its record."""
        for shard in self.shards:
            yield from shard.items()
