"""A caller's rate: a bucket of one second's worth of requests, refilled as time passes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

#: Callers remembered at once; beyond it the fullest bucket is forgotten with the oldest.
MOST_CALLERS = 10_000


class Rate:
    """Allows each caller `per_second` requests a second, and bursts of as many."""

    def __init__(self, per_second: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = float(per_second)
        self._now = now
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def take(self, caller: bytes) -> bool:
        """Whether the caller (its key, kept only as a digest) may send one more request now.

        >>> rate = Rate(1, now=lambda: 5.0)
        >>> rate.take(b"a"), rate.take(b"a"), rate.take(b"b")
        (True, False, True)
        """
        name = hashlib.blake2b(caller, digest_size=16).digest()
        now = self._now()
        left, then = self._buckets.get(name, (self._per_second, now))
        left = min(self._per_second, left + (now - then) * self._per_second)
        if name not in self._buckets and len(self._buckets) >= MOST_CALLERS:
            self._buckets.pop(next(iter(self._buckets)))
        allowed = left >= 1.0
        self._buckets[name] = (left - 1.0 if allowed else left, now)
        return allowed
