"""What the service counts, for Prometheus; buckets fit for milliseconds."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.judge import TIERS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.15, 0.5)
_DECISIONS = ("approve", "challenge", "review", "decline")


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        seconds = Histogram(
            "riskgate_score_seconds",
            "Time from request to recorded decision, seconds, by tier.",
            ["tier"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        decisions = Counter(
            "riskgate_decisions", "Decisions by decision and tier.", ["decision", "tier"], registry=self.registry
        )
        self._requests = Counter(
            "riskgate_requests", "Requests by route and HTTP status.", ["route", "status"], registry=self.registry
        )
        self.replays = Counter(
            "riskgate_idempotent_replays", "Answers given again for a retried payment.", registry=self.registry
        )
        self.reports = Counter(
            "riskgate_reports", "Outcomes and labels recorded.", ["kind", "value"], registry=self.registry
        )
        self._seconds = {tier: seconds.labels(tier) for tier in TIERS}
        self._decisions = {(d, t): decisions.labels(d, t) for d in _DECISIONS for t in TIERS}

    def decided(self, decision: str, tier: str, seconds: float) -> None:
        """Count one new decision."""
        self._seconds[tier].observe(seconds)
        self._decisions[decision, tier].inc()

    def answered(self, route: str, status: int) -> None:
        """Count one answered request."""
        self._requests.labels(route, status).inc()

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a value that is read when somebody looks."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """Everything counted, in Prometheus' text format."""
        return generate_latest(self.registry)
