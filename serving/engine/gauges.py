"""Gauges of a running service; each value is read when the metrics are scraped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from serving.decision.decider import Decider
from serving.engine.embedded.engine import EmbeddedEngine
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.wal_preallocate import log_of
from serving.state.bundle_watcher import BundleWatcher
from serving.telemetry.metrics import Metrics

LAG_EVERY_SECONDS = 0.1
SET_ASIDE = "Events of the ledger that cannot be folded and changed nothing."


def show_state(metrics: Metrics, engine: EmbeddedEngine) -> None:
    """Gauges of the state in memory."""
    watch = metrics.watch
    metrics.count("riskgate_too_late", "Entity updates older than every window.", lambda: engine.fold.state.too_late)
    watch("riskgate_entities", "Entities with a record in the state.", lambda: engine.fold.state.entities())
    watch("riskgate_state_bytes", "Bytes of window state in use.", lambda: engine.fold.state.bytes_used())
    watch("riskgate_events_set_aside", SET_ASIDE, lambda: engine.fold.set_aside.count)


def show_snapshots(metrics: Metrics, age_events: Callable[[], int]) -> None:
    """A gauge of what a start would have to fold."""
    metrics.watch("riskgate_snapshot_age_events", "Events of the ledger behind the newest snapshot.", age_events)


def show_waiting(metrics: Metrics, count: Callable[[], int], refused: Callable[[], int]) -> None:
    """The reports that came before their payment: how many wait, and how many their payment then refused."""
    metrics.watch("riskgate_reports_waiting", "Payments not known here about which reports wait.", count)
    metrics.count("riskgate_reports_refused", "Reports that waited and that their payment then refused.", refused)


def show_decider(metrics: Metrics, now: Callable[[], Decider]) -> None:
    """Gauges of the current decider: exposure, breakers, bundle."""
    metrics.watch(
        "riskgate_exposure_minor",
        "Approved without a score in this minute by this process, reference minor units.",
        lambda: now().exposure.approved(time.time_ns() // 1_000_000),
    )
    metrics.watch("riskgate_breakers_open", "Breakers that are open.", lambda: len(now().breakers.open))
    metrics.count("riskgate_breaker_trips", "How often a breaker opened.", lambda: now().breakers.trips)
    metrics.inform(
        "riskgate_bundle_info",
        "What decides: model, digests of bundle, policy and catalogue, code.",
        lambda: {
            "model": now().model,
            "bundle": now().bundle_digest[:12],
            "policy": now().policy_digest[:12],
            "features": now().features_hash[:12],
            "code": now().code,
        },
    )


def show_ledger(metrics: Metrics, ledger: Ledger) -> None:
    """Gauges of the SQLite ledger."""
    wal = log_of(ledger.path)
    metrics.watch("riskgate_ledger_seq", "Sequence number of the latest event.", lambda: ledger.last_seq())
    metrics.watch("riskgate_ledger_wal_bytes", "Size of the write-ahead log and its room.", lambda: _size(wal))
    metrics.count("riskgate_ledger_failures", "Commits that failed.", lambda: ledger.failures)
    metrics.registry.register(ledger.commit_seconds)
    metrics.registry.register(ledger.commit_events)


def show_bundle_watcher(metrics: Metrics, watcher: BundleWatcher) -> None:
    """A gauge of whether a newer bundle was rejected."""
    metrics.watch(
        "riskgate_bundle_refused",
        "1 while a new bundle is rejected and the old one still decides.",
        lambda: float(bool(watcher.refused)),
    )


async def measure_lag(metrics: Metrics) -> None:
    """Measure, until cancelled, how late the event loop wakes a timer: a request can wait that long unread."""
    while True:
        due = time.perf_counter() + LAG_EVERY_SECONDS
        await asyncio.sleep(LAG_EVERY_SECONDS)
        metrics.loop_lag.observe(max(0.0, time.perf_counter() - due))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
