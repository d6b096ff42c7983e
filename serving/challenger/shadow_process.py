"""Supervises the challenger's process: starts it, restarts it when it dies, ends it with the service."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from multiprocessing.context import SpawnProcess

from serving.challenger.challenger import run_alongside
from serving.challenger.shadow_scores import Progress, ShadowScores
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import Settings
from serving.telemetry.metrics import Metrics

log = logging.getLogger("riskgate.challenger")

LOOK_EVERY_SECONDS = 5.0


class ShadowProcess:
    """Keeps `run_alongside` running as long as the service; does nothing without a challenger."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process: SpawnProcess | None = None

    async def keep(self) -> None:
        """Start the process, and restart it when it has ended, until cancelled."""
        while self.settings.challenger:
            if self.process is None or not self.process.is_alive():
                if self.process is not None:
                    log.error("the challenger's process ended with %s; it is restarted", self.process.exitcode)
                await asyncio.to_thread(self._start)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def end(self) -> None:
        """End the process; it resumes at the next start."""
        if self.process is not None and self.process.is_alive():
            self.process.terminate()
            self.process.join(5.0)
            if self.process.is_alive():
                self.process.kill()

    def _start(self) -> None:
        # Spawned, not forked: a fork would inherit the event loop, the lock and the ledger's connection.
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(
            target=run_alongside, args=(self.settings, os.getpid()), name="riskgate-challenger", daemon=True
        )
        self.process.start()


def show_challenger(metrics: Metrics, scores: ShadowScores, ledger: Ledger) -> None:
    """Register the metrics of the challenger that writes these scores."""

    def progress() -> Progress:
        return scores.progress() or Progress("", ledger.last_seq(), 0, 0)

    metrics.watch(
        "riskgate_challenger_lag_events",
        "Events of the ledger that the challenger has not looked at.",
        lambda: max(0, ledger.last_seq() - progress().seq),
    )
    metrics.count("riskgate_challenger_scored", "Payments the challenger has scored.", lambda: progress().scored)
    metrics.count("riskgate_challenger_agreed", "Of those, decided as by the champion.", lambda: progress().agreed)
