"""Receipt ids: ULIDs (48 bits of milliseconds, 80 random bits, Crockford base 32), sortable by time."""

from __future__ import annotations

from collections.abc import Iterator
from random import SystemRandom

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_RANDOM_BITS = 80
#: Random numbers asked of the system at once: a system call for each id would cost more than the id.
_AT_ONCE = 256


def _numbers() -> Iterator[int]:
    source = SystemRandom()
    while True:
        stock = source.randbytes(_AT_ONCE * _RANDOM_BITS // 8)
        for place in range(0, len(stock), _RANDOM_BITS // 8):
            yield int.from_bytes(stock[place : place + _RANDOM_BITS // 8], "big")


_random = _numbers()


def ulid(time_ms: int) -> str:
    """A new id of 26 characters for that moment (milliseconds UTC).

    >>> ulid(0)[:10], len(ulid(0))
    ('0000000000', 26)
    """
    bits = (time_ms << _RANDOM_BITS) | next(_random)
    pairs = _PAIRS
    return "".join([pairs[(bits >> shift) & 1023] for shift in range(120, -1, -10)])
