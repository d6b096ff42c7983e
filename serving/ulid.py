"""Receipt ids: ULIDs (48 bits of milliseconds, 80 random bits, Crockford base 32), sortable by time."""

from __future__ import annotations

from random import SystemRandom

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_random = SystemRandom()


def ulid(time_ms: int) -> str:
    """A new id of 26 characters for that moment (milliseconds UTC).

    >>> ulid(0)[:10], len(ulid(0))
    ('0000000000', 26)
    """
    bits = (time_ms << 80) | _random.getrandbits(80)
    pairs = _PAIRS
    return "".join([pairs[(bits >> shift) & 1023] for shift in range(120, -1, -10)])
