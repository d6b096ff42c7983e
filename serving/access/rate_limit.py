"""A caller's rate: a bucket of requests, refilled as time passes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Rate:
    """Lets each caller send its requests a second, and bursts of as many; counts in this process only."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str, per_second: int) -> int:
        """0 when the caller may send one more request now, else the seconds after which it may.

        >>> rate = Rate(now=lambda: 5.0)
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

    def owe(self, caller: str, requests: int) -> None:
        """Let one request count as more: a batch is as many as its payments, and the debt is waited off.

        >>> rate = Rate(now=lambda: 5.0)
        >>> rate.take("a", 10), rate.owe("a", 19), rate.take("a", 10)
        (0, None, 2)
        """
        if caller in self._buckets:
            left, then = self._buckets[caller]
            self._buckets[caller] = left - requests, then
