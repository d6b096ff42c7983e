"""What the service counts, for Prometheus; `dashboards/README.md` tells every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.decision.decider import Decided
from serving.decision.evaluator import TIERS
from serving.telemetry.histogram import MILLISECONDS, PROBABILITIES, Spread

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DECISIONS = ("approve", "challenge", "review", "decline")
#: The order of `Receipt.seen`.
ENTITIES = ("payer", "instrument", "device", "ip", "payee", "pair")

Labels = tuple[str, ...]


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = {(d, t): Spread(MILLISECONDS) for d in DECISIONS for t in TIERS}
        self._requests: dict[tuple[str, int], int] = {}
        self._misses = [0] * len(ENTITIES)
        self._replays = 0
        self.scores = Spread(PROBABILITIES)
        self.loop_lag = Spread(MILLISECONDS)
        self._reports = Counted("riskgate_reports", "Outcomes and labels recorded.", ("kind", "value"))
        self.swaps = Counted("riskgate_bundle_swaps", "New bundles, by what became of them.", ("result",))
        for counted in (self._reports, self.swaps):
            self.registry.register(counted)
        for result in ("taken", "refused"):
            self.swaps.add(result, by=0)
        self.registry.register(_Gathered(self._gathered))
        self.spread("riskgate_scores", "Calibrated probabilities of fraud as scored.", self.scores)
        self.spread("riskgate_event_loop_lag_seconds", "How late the event loop keeps an appointment.", self.loop_lag)
        ProcessCollector(registry=self.registry)

    # -- on the reply path ---------------------------------------------------------------------

    def decided(self, decision: str, tier: str, seconds: float) -> None:
        """Count one new decision."""
        self._seconds[decision, tier].observe(seconds)

    def noticed(self, decided: Decided) -> None:
        """Count what a receipt says: the score, and the entities that were sent and have no history."""
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
        """Count one answer given again."""
        self._replays += 1

    def reported(self, kind: str, value: str) -> None:
        """Count one recorded outcome or label."""
        self._reports.add(kind, value)

    # -- what is shown -------------------------------------------------------------------------

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a value that is read when somebody looks."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def count(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a number that only grows and is counted elsewhere."""
        self.registry.register(_Gathered(lambda: [CounterMetricFamily(name, meaning, value=value())]))

    def spread(self, name: str, meaning: str, values: Spread) -> None:
        """Show a histogram that is counted elsewhere."""
        self.registry.register(_Gathered(lambda: [_histogram(name, meaning, (), [((), values)])]))

    def inform(self, name: str, meaning: str, labels: Callable[[], dict[str, str]]) -> None:
        """Show names as labels of a metric that is always 1."""

        def told() -> list[Metric]:
            known = labels()
            family = GaugeMetricFamily(name, meaning, labels=list(known))
            family.add_metric(list(known.values()), 1.0)
            return [family]

        self.registry.register(_Gathered(told))

    def text(self) -> bytes:
        """Everything counted, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gathered(self) -> Iterator[Metric]:
        # A combination that never occurred has no latency to show, but its count is 0.
        yield _histogram(
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


class Counted(Collector):
    """A counter with labels, in plain numbers."""

    def __init__(self, name: str, meaning: str, labels: Labels) -> None:
        self.name, self.meaning, self.labels = name, meaning, labels
        self._counts: dict[Labels, int] = {}

    def add(self, *labels: str, by: int = 1) -> None:
        """Count under these labels."""
        self._counts[labels] = self._counts.get(labels, 0) + by

    def collect(self) -> Iterator[Metric]:
        """The counter as Prometheus' client knows it."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class _Gathered(Collector):
    def __init__(self, gather: Callable[[], Iterable[Metric]]) -> None:
        self.gather = gather

    def collect(self) -> Iterable[Metric]:
        return self.gather()


def _histogram(name: str, meaning: str, labels: Labels, spreads: list[tuple[Labels, Spread]]) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for values, one in spreads:
        family.add_metric(values, one.buckets(), one.total)
    return family
