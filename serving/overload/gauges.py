"""What is shown of the admission queue: each value is read when somebody looks."""

from __future__ import annotations

from serving.overload.admission_queue import Backlog
from serving.telemetry.metrics import Metrics


def show_backlog(metrics: Metrics, backlog: Backlog) -> None:
    """Show what waits and what overload costs."""
    metrics.watch("riskgate_waiting", "Payments that wait to be decided.", lambda: backlog.waiting)
    metrics.watch("riskgate_work_seconds", "How long what waits will take.", lambda: backlog.work_ms / 1e3)
    metrics.count("riskgate_refused", "Payments refused unread because of overload.", lambda: backlog.refused)
    metrics.count(
        "riskgate_shed", "Payments given a lower tier because of overload.", lambda: sum(backlog.shed.values())
    )
