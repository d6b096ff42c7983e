"""Gauges of the admission queue; each value is read when the metrics are scraped."""

from __future__ import annotations

from serving.overload.admission_queue import AdmissionQueue
from serving.telemetry.metrics import Metrics


def show_queue(metrics: Metrics, queue: AdmissionQueue) -> None:
    """Gauges of the queue and of what overload cost."""
    metrics.watch("riskgate_waiting", "Payments that wait to be decided.", lambda: queue.waiting)
    metrics.watch("riskgate_work_seconds", "How long what waits will take.", lambda: queue.work_ms / 1e3)
    metrics.count("riskgate_refused", "Payments refused unread because of overload.", lambda: queue.refused)
    metrics.count("riskgate_shed", "Payments given a lower tier because of overload.", lambda: sum(queue.shed.values()))
