"""Counters and histograms of the reply path, which Prometheus reads at scrape time.

The library's own take a lock for each of a payment's increments and search a histogram's buckets from the first on:
5 % of a payment's processor time (docs/decisions/0022). These are for one thread, that of the event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class Tally(Collector):
    """A counter for each combination of labels; a combination of `known` is 0 before it occurs."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str], known: Iterable[Labels] = ()) -> None:
        self._family = (name, meaning)
        self._labels = labels
        self.counts: defaultdict[Labels, int] = defaultdict(int, dict.fromkeys(known, 0))

    def collect(self) -> Iterable[Metric]:
        """The counters as they are now."""
        family = CounterMetricFamily(*self._family, labels=self._labels)
        for labels, count in list(self.counts.items()):
            family.add_metric(labels, count)
        return [family]


class Distribution(Collector):
    """A histogram for each combination of labels that occurred; `bounds` ascend, and each bucket holds its own."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._family = (name, meaning)
        self._labels, self._bounds = labels, tuple(bounds)
        #: The values of each bucket, the last without a bound, and behind them the sum of all values.
        self._rows: defaultdict[Labels, list[float]] = defaultdict(lambda: [0] * (len(self._bounds) + 2))

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Count one value; a value that equals a bound lies below it (Prometheus' `le`)."""
        row = self._rows[labels]
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def collect(self) -> Iterable[Metric]:
        """The histograms as they are now, cumulative."""
        family = HistogramMetricFamily(*self._family, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, row in list(self._rows.items()):
            family.add_metric(labels, list(zip(names, accumulate(row[:-1]), strict=True)), row[-1])
        return [family]
