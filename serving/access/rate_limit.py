"""Rate limits: a token bucket for each caller, filled with this process's share of the caller's rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from serving.shared_bounds.bounds import Ask, Bounds

#: How long a caller who needed more than half of a share still asks for more of the rate.
PRESSED_SECONDS = 10.0
#: After so long without a request a process releases its share of the caller's rate.
IDLE_SECONDS = 2.0
KEEP_SECONDS = 300


class _Bucket:
    __slots__ = ("left", "name", "per_second", "pressed_until", "then")

    def __init__(self, caller: str, per_second: int, left: float, now: float) -> None:
        self.name = f"rate:{caller}:{per_second}"
        self.per_second, self.left, self.then, self.pressed_until = per_second, left, now, now


class RateLimiter:
    """Allows each caller its requests per second, and bursts of the same size.

    Of several processes each has a share of the rate, which moves to where the requests come within a second; a share
    that grows fills at its new rate, so that moving it gives no second burst. A process always allows one request in
    the time that its share takes.
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
            bucket = self._buckets[caller] = _Bucket(caller, per_second, math.inf, now)
        share = self.bounds.share_of(bucket.name, per_second)
        most = share if share > 1.0 else 1.0
        left = bucket.left + (now - bucket.then) * share
        bucket.then, bucket.left = now, left if left < most else most
        if bucket.left < 0.5 * most or bucket.left < 1.0:
            bucket.pressed_until = now + PRESSED_SECONDS
        if bucket.left < 1.0:
            return max(1, math.ceil((1.0 - bucket.left) / per_second))
        bucket.left -= 1.0
        return 0

    def charge(self, caller: str, requests: int) -> None:
        """Count one request as more (a batch counts its payments); the bucket may become negative.

        >>> rate = RateLimiter(now=lambda: 5.0)
        >>> rate.take("a", 10), rate.charge("a", 19), rate.take("a", 10)
        (0, None, 2)
        """
        if caller in self._buckets:
            self._buckets[caller].left -= requests

    def asks(self) -> Iterable[Ask]:
        """The rates of the callers who come to this process."""
        now = self._now()
        for bucket in self._buckets.values():
            if now < bucket.pressed_until:
                wanted = float(bucket.per_second)
            elif now - bucket.then < IDLE_SECONDS:
                wanted = self.bounds.fraction * bucket.per_second
            else:
                continue
            yield Ask(bucket.name, bucket.per_second, None, wanted, KEEP_SECONDS)
