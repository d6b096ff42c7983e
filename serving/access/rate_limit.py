"""Rate limits: a token bucket for each caller."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class RateLimiter:
    """Allows each caller its requests per second, and bursts of the same size; counts in this process only."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str, per_second: int) -> int:
        """0 when the caller may send one more request now, else the seconds after which it may.

        >>> rate = RateLimiter(now=lambda: 5.0)
        >>> rate.take("a", 1), rate.take("a", 1), rate.take("b", 1)
        (0, 1, 0)
        """
        now = self._now()
        left, then = self._buckets.get(caller, (float(per_second), now))
        left = min(float(per_second), left + (now - then) * per_second)
        if left < 1.0:
            self._buckets[caller] = left, now
            return max(1, math.ceil((1.0 - left) / per_second))
        self._buckets[caller] = left - 1.0, now
        return 0

    def charge(self, caller: str, requests: int) -> None:
        """Count one request as more (a batch counts its payments); the bucket may become negative.

        >>> rate = RateLimiter(now=lambda: 5.0)
        >>> rate.take("a", 10), rate.charge("a", 19), rate.take("a", 10)
        (0, None, 2)
        """
        if caller in self._buckets:
            left, then = self._buckets[caller]
            self._buckets[caller] = left - requests, then
