"""Receipt ids: ULIDs (48 bits of milliseconds, 80 random bits, Crockford base 32), sortable by time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from random import SystemRandom

_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTERS = bytes(_ALPHABET[byte & 31] for byte in range(256))  # a random byte as a random letter
_RANDOM_LETTERS, _TIME_LETTERS = 16, 10
#: Random letters per system call: one call per id would cost more than the id.
_BATCH = 256 * _RANDOM_LETTERS


def _words() -> Iterator[str]:
    source = SystemRandom()
    while True:
        stock = source.randbytes(_BATCH).translate(_LETTERS).decode()
        for place in range(0, _BATCH, _RANDOM_LETTERS):
            yield stock[place : place + _RANDOM_LETTERS]


_random = _words()


@lru_cache(maxsize=4)
def _time_letters(time_ms: int) -> str:
    digits = [_ALPHABET[time_ms >> shift & 31] for shift in range(5 * (_TIME_LETTERS - 1), -1, -5)]
    return bytes(digits).decode()


def ulid(time_ms: int) -> str:
    """A new id of 26 characters for that time (milliseconds UTC).

    >>> ulid(0)[:10], ulid(1)[:10], len(ulid(0))
    ('0000000000', '0000000001', 26)
    """
    return _time_letters(time_ms) + next(_random)
