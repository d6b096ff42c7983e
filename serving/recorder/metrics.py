"""The metrics of the recorder, for Prometheus: its throughput and its lag."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serving.ledger.reader import COUNT_BITS
from serving.recorder.postgres_writer import Written

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class RecorderMetrics:
    """The metrics of one recorder, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.entries = Counter(
            "riskgate_recorder_entries",
            "Entries of the stream by what became of them: new, known already, unreadable.",
            ["what"],
            registry=self.registry,
        )
        self.lag = Gauge("riskgate_recorder_lag", "Entries of the stream not yet recorded.", registry=self.registry)
        self.delay = Gauge(
            "riskgate_recorder_delay_seconds",
            "Age of the newest entry when it was recorded, seconds.",
            registry=self.registry,
        )
        self.active = Gauge("riskgate_recorder_active", "1 for the recorder that records.", registry=self.registry)
        self.failures = Counter(
            "riskgate_recorder_failures", "Times the recorder had to wait for a server.", registry=self.registry
        )
        self._turned = time.monotonic()
        Gauge(
            "riskgate_recorder_idle_seconds",
            "Since the recorder's loop last turned, seconds.",
            registry=self.registry,
        ).set_function(lambda: time.monotonic() - self._turned)
        self.seconds = Histogram(
            "riskgate_recorder_batch_seconds",
            "Time to write one batch, seconds.",
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def turned(self) -> None:
        """The recorder's loop has turned: it is not stuck."""
        self._turned = time.monotonic()

    def recorded(self, written: Written, seconds: float, last_seq: int) -> None:
        """Count one batch."""
        self.entries.labels("new").inc(written.new)
        self.entries.labels("known").inc(written.known)
        self.entries.labels("unreadable").inc(written.unreadable)
        self.seconds.observe(seconds)
        self.delay.set(max(0.0, time.time() - (last_seq >> COUNT_BITS) / 1000))
