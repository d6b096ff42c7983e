"""Rate limits: a token bucket for each caller, filled with this process's share of the caller's rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from serving.shared_bounds.bounds import Bounds

#: A bucket is asked about as long as it is not full, and for so long after a request.
IDLE_SECONDS = 2.0
#: A bucket below this part asks for the next exchange soon.
LOW_PART = 0.75


class _Bucket:
    __slots__ = ("left", "name", "per_second", "reported", "then", "used")

    def __init__(self, caller: str, per_second: int, left: float, now: float) -> None:
        self.name = f"rate:{caller}:{per_second}"
        self.per_second, self.left, self.then = per_second, left, now
        self.used = self.reported = 0


class RateLimiter:
    """Allows each caller its requests per second, and bursts of the same size.

    A process alone fills its buckets itself. Of several each holds tokens of the service's bucket, at least one whole
    request, and gets others for those it used from Redis: soon when it has few left. So the processes allow no more
    than one bucket would, and one request more for each of them.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, bounds: Bounds | None = None) -> None:
        self._now = now
        self.bounds = bounds or Bounds()
        self._buckets: dict[str, _Bucket] = {}

    def take(self, caller: str, per_second: int) -> int:
        """0 when the caller may send one more request now, else the seconds after which it may.

        >>> rate = RateLimiter(now=lambda: 5.0)
        >>> rate.take("a", 1), rate.take("a", 1), rate.take("b", 1)
        (0, 1, 0)
        """
        now = self._now()
        bucket = self._buckets.get(caller)
        if bucket is None or bucket.per_second != per_second:
            first = self.bounds.first_of(per_second)
            bucket = self._buckets[caller] = _Bucket(caller, per_second, first, now)
        most = self.bounds.bucket_of(per_second)
        fills = self.bounds.fills
        if fills:
            bucket.left = min(most, bucket.left + (now - bucket.then) * self.bounds.fraction * per_second)
        bucket.then = now
        if bucket.left < 1.0 + LOW_PART * most:
            self.bounds.low = True
        if bucket.left < 1.0:
            return max(1, math.ceil((1.0 - bucket.left) / per_second))
        bucket.left -= 1.0
        bucket.used += not fills
        return 0

    def charge(self, caller: str, requests: int) -> None:
        """Count one request as more (a batch counts its payments); the bucket may become negative.

        >>> rate = RateLimiter(now=lambda: 5.0)
        >>> rate.take("a", 10), rate.charge("a", 19), rate.take("a", 10)
        (0, None, 2)
        """
        bucket = self._buckets.get(caller)
        if bucket is not None:
            bucket.left -= requests
            bucket.used += 0 if self.bounds.fills else requests

    def asked(self) -> dict[str, tuple[int, float, int]]:
        """The buckets that this process uses or that are not full."""
        now, found = self._now(), {}
        for bucket in self._buckets.values():
            idle = now - bucket.then > IDLE_SECONDS
            if not idle or bucket.used or bucket.left < self.bounds.bucket_of(bucket.per_second) - 1e-6:
                found[bucket.name] = (bucket.per_second, bucket.left, bucket.used)
                bucket.reported = bucket.used
        return found

    def give(self, tokens: dict[str, float]) -> None:
        """Add what the exchange gave; what it failed to report is reported again."""
        for bucket in self._buckets.values():
            if bucket.name in tokens:
                bucket.left += tokens[bucket.name]
                bucket.used -= bucket.reported
                bucket.reported = 0
