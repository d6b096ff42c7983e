"""A histogram for the reply path: plain integers, turned into families of prometheus_client at scrape time.

prometheus_client's own costs 0.6 µs per observation and 1.3 µs with a look-up of labels; this one costs 0.1 µs. Each
histogram belongs to one thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import inf

#: Seconds; fine in the usual range of latencies (0.2–20 ms), coarse beyond it.
MILLISECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.15, 0.5, 2.0)
#: Calibrated probabilities: most payments are near 0, most thresholds too.
PROBABILITIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
#: Sizes of commits and batches.
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class Histogram:
    """Counts of values per bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = MILLISECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative buckets: (upper bound as Prometheus writes it, values up to it), the last `+Inf`.

        >>> histogram = Histogram((1.0, 2.0)); histogram.observe(1.0); histogram.observe(9.0); histogram.buckets()
        [('1.0', 1), ('2.0', 1), ('+Inf', 2)]
        """
        buckets: list[tuple[str, float]] = []
        cumulative = 0
        for bound, count in zip((*self.bounds, inf), self.counts, strict=True):
            cumulative += count
            buckets.append(("+Inf" if bound == inf else repr(float(bound)), cumulative))
        return buckets
