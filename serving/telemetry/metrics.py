"""The metrics of the service, for Prometheus; `dashboards/README.md` lists all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from features.domain.payment import FieldWarning
from features.domain.payment_fields import BY_NAME
from serving.decision.decider import Decided
from serving.decision.evaluator import TIERS
from serving.telemetry.buckets import MILLISECONDS, PROBABILITIES
from serving.telemetry.tallies import Distribution, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DECISIONS = ("approve", "challenge", "review", "decline")
#: The order of `Receipt.seen`.
ENTITIES = ("payer", "instrument", "device", "ip", "payee", "pair")
#: Fields that warnings are counted by.
_NAMED = frozenset((*BY_NAME, "reason_code"))
_ENTITY_LABELS = tuple([(entity,) for entity in ENTITIES])


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        # Of the whole process: prometheus_client would add a `_created` series to each counter; no panel shows one.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._seconds = Distribution(
            "riskgate_score_seconds",
            "Time from request to recorded decision, seconds.",
            ["decision", "tier"],
            MILLISECONDS,
        )
        self._decisions = Tally(
            "riskgate_decisions", "Decisions made.", ["decision", "tier"], product(DECISIONS, TIERS)
        )
        self._requests = Tally("riskgate_requests", "Requests answered.", ["route", "status"])
        self._misses = Tally(
            "riskgate_state_misses",
            "Payments whose entity was sent and has no history.",
            ["entity"],
            _ENTITY_LABELS,
        )
        self._scores = Distribution(
            "riskgate_scores", "Calibrated probabilities of fraud as scored.", [], PROBABILITIES
        )
        for tally in (self._seconds, self._decisions, self._requests, self._misses, self._scores):
            registry.register(tally)
        self._warnings = Counter(
            "riskgate_warnings",
            "Values of payments and reports that were dropped or replaced.",
            ["field", "code"],
            registry=registry,
        )
        self._replays = Counter(
            "riskgate_idempotent_replays", "Answers given again for a retried payment.", registry=registry
        )
        self._reports = Counter(
            "riskgate_reports", "Outcomes and labels recorded.", ["kind", "value"], registry=registry
        )
        self.swaps = Counter(
            "riskgate_bundle_swaps", "New bundles, by what became of them.", ["result"], registry=registry
        )
        for result in ("taken", "refused"):
            self.swaps.labels(result)
        self.loop_lag = Histogram(
            "riskgate_event_loop_lag_seconds",
            "How late the event loop keeps an appointment.",
            buckets=MILLISECONDS,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    # -- on the reply path ---------------------------------------------------------------------

    def decided(self, decision: str, tier: str, seconds: float) -> None:
        """Count one new decision."""
        labels = decision, tier
        self._seconds.observe(seconds, labels)
        self._decisions.counts[labels] += 1

    def noticed(self, decided: Decided) -> None:
        """Count what the receipt holds: the score, and the entities that were sent and have no history."""
        receipt = decided.receipt
        if receipt.score is not None:
            self._scores.observe(receipt.score)
        if 0 in receipt.seen:
            for entity, seen in zip(_ENTITY_LABELS, receipt.seen, strict=False):
                if seen == 0:
                    self._misses.counts[entity] += 1

    def answered(self, route: str, status: int) -> None:
        """Count one answered request."""
        self._requests.counts[route, str(status)] += 1

    def replayed(self) -> None:
        """Count one idempotent replay."""
        self._replays.inc()

    def warned(self, warnings: tuple[FieldWarning, ...]) -> None:
        """Count what was dropped or replaced; a caller's own names are counted together."""
        for one in warnings:
            top = one.field.removeprefix("payment.").partition(".")[0]
            self._warnings.labels(top if top in _NAMED else "unknown", one.code).inc()

    def reported(self, kind: str, value: str) -> None:
        """Count one recorded outcome or label."""
        self._reports.labels(kind, value).inc()

    # -- at scrape time ------------------------------------------------------------------------

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Register a gauge whose value is read at scrape time."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def count(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Register a counter whose value is read at scrape time."""
        self.registry.register(_Callback(lambda: [CounterMetricFamily(name, meaning, value=value())]))

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


class _Callback(Collector):
    def __init__(self, callback: Callable[[], Iterable[Metric]]) -> None:
        self.callback = callback

    def collect(self) -> Iterable[Metric]:
        return self.callback()
