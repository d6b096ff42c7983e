"""The metrics of the service, for Prometheus; `dashboards/README.md` lists all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.decision.decider import Decided
from serving.decision.evaluator import TIERS
from serving.telemetry.histogram import MILLISECONDS, PROBABILITIES, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DECISIONS = ("approve", "challenge", "review", "decline")
#: The order of `Receipt.seen`.
ENTITIES = ("payer", "instrument", "device", "ip", "payee", "pair")

Labels = tuple[str, ...]


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = {(d, t): Histogram(MILLISECONDS) for d in DECISIONS for t in TIERS}
        self._requests: dict[tuple[str, int], int] = {}
        self._misses = [0] * len(ENTITIES)
        self._replays = 0
        self.scores = Histogram(PROBABILITIES)
        self.loop_lag = Histogram(MILLISECONDS)
        self._reports = LabelledCounter("riskgate_reports", "Outcomes and labels recorded.", ("kind", "value"))
        self.swaps = LabelledCounter("riskgate_bundle_swaps", "New bundles, by what became of them.", ("result",))
        for counted in (self._reports, self.swaps):
            self.registry.register(counted)
        for result in ("taken", "refused"):
            self.swaps.add(result, by=0)
        self.registry.register(_Callback(self._collected))
        self.histogram("riskgate_scores", "Calibrated probabilities of fraud as scored.", self.scores)
        self.histogram(
            "riskgate_event_loop_lag_seconds", "How late the event loop keeps an appointment.", self.loop_lag
        )
        ProcessCollector(registry=self.registry)

    # -- on the reply path ---------------------------------------------------------------------

    def decided(self, decision: str, tier: str, seconds: float) -> None:
        """Count one new decision."""
        self._seconds[decision, tier].observe(seconds)

    def noticed(self, decided: Decided) -> None:
        """Count what the receipt holds: the score, and the entities that were sent and have no history."""
        receipt = decided.receipt
        if receipt.score is not None:
            self.scores.observe(receipt.score)
        if 0 in receipt.seen:
            for place, seen in enumerate(receipt.seen):
                if seen == 0:
                    self._misses[place] += 1

    def answered(self, route: str, status: int) -> None:
        """Count one answered request."""
        key = (route, status)
        self._requests[key] = self._requests.get(key, 0) + 1

    def replayed(self) -> None:
        """Count one idempotent replay."""
        self._replays += 1

    def reported(self, kind: str, value: str) -> None:
        """Count one recorded outcome or label."""
        self._reports.add(kind, value)

    # -- at scrape time ------------------------------------------------------------------------

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Register a gauge whose value is read at scrape time."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def count(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Register a counter whose value is read at scrape time."""
        self.registry.register(_Callback(lambda: [CounterMetricFamily(name, meaning, value=value())]))

    def histogram(self, name: str, meaning: str, values: Histogram) -> None:
        """Register a histogram that another object fills."""
        self.registry.register(_Callback(lambda: [_family(name, meaning, (), [((), values)])]))

    def inform(self, name: str, meaning: str, labels: Callable[[], dict[str, str]]) -> None:
        """Register an info metric: always 1, with labels that are read at scrape time."""

        def collect() -> list[Metric]:
            now = labels()
            family = GaugeMetricFamily(name, meaning, labels=list(now))
            family.add_metric(list(now.values()), 1.0)
            return [family]

        self.registry.register(_Callback(collect))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _collected(self) -> Iterator[Metric]:
        # A combination that never occurred has no histogram, but its counter is 0.
        yield _family(
            "riskgate_score_seconds",
            "Time from request to recorded decision, seconds.",
            ("decision", "tier"),
            [(labels, one) for labels, one in self._seconds.items() if one.count],
        )
        decisions = CounterMetricFamily("riskgate_decisions", "Decisions made.", labels=["decision", "tier"])
        for labels, one in self._seconds.items():
            decisions.add_metric(labels, one.count)
        yield decisions
        requests = CounterMetricFamily("riskgate_requests", "Requests answered.", labels=["route", "status"])
        for (route, status), count in self._requests.items():
            requests.add_metric((route, str(status)), count)
        yield requests
        misses = CounterMetricFamily(
            "riskgate_state_misses", "Payments whose entity was sent and has no history.", labels=["entity"]
        )
        for entity, count in zip(ENTITIES, self._misses, strict=True):
            misses.add_metric((entity,), count)
        yield misses
        yield CounterMetricFamily(
            "riskgate_idempotent_replays", "Answers given again for a retried payment.", value=self._replays
        )


class LabelledCounter(Collector):
    """A counter with labels, in plain integers."""

    def __init__(self, name: str, meaning: str, labels: Labels) -> None:
        self.name, self.meaning, self.labels = name, meaning, labels
        self._counts: dict[Labels, int] = {}

    def add(self, *labels: str, by: int = 1) -> None:
        """Add to the count of these labels."""
        self._counts[labels] = self._counts.get(labels, 0) + by

    def collect(self) -> Iterator[Metric]:
        """The counter as a family of prometheus_client."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class _Callback(Collector):
    def __init__(self, callback: Callable[[], Iterable[Metric]]) -> None:
        self.callback = callback

    def collect(self) -> Iterable[Metric]:
        return self.callback()


def _family(name: str, meaning: str, labels: Labels, histograms: list[tuple[Labels, Histogram]]) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for values, histogram in histograms:
        family.add_metric(values, histogram.buckets(), histogram.total)
    return family
