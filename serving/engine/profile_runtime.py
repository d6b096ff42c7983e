"""What the runtimes of both profiles share: bundle watcher, clock, metrics, background tasks, the reply of /readyz."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from features.domain.payment import Payment
from features.state.profiles import ProfileFile
from serving.decision.breaker import Breakers
from serving.decision.clock import clock_named
from serving.decision.decider import Decided, Decider
from serving.decision.rules import LISTS
from serving.engine.gauges import measure_lag, show_bundle_watcher, show_decider
from serving.lists.book import ListBook
from serving.lists.changes import ListService
from serving.messages import Ready
from serving.settings import Settings
from serving.shared_bounds.bounds import Bounds
from serving.state.bundle_watcher import BundleWatcher
from serving.state.champion import Champion
from serving.state.startup import Opened
from serving.telemetry.decision_log import DecisionLog
from serving.telemetry.metrics import Metrics

log = logging.getLogger("riskgate")

#: Its features are read once at start, which compiles the kernel before the first payment.
WARMUP_PAYMENT = Payment(
    transaction_id="warm",
    event_time_ms=1_700_000_000_000,
    amount_minor=100,
    currency="INR",
    rail="upi",
    channel="online",
    payer_id="warm",
    instrument_id="warm",
    payee_id="warm",
)


class ProfileRuntime(ABC):
    """The shared part of a service process; the two runtimes implement `Runtime` of serving/engine/protocols.py."""

    def __init__(self, settings: Settings, champion: Champion) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.bounds = Bounds()
        self.clock = clock_named(settings.clock)
        self.watcher = BundleWatcher(champion, self._succeed, self.metrics.swaps, settings.swap_seconds)
        self.decision_log = DecisionLog(settings.log_decisions, settings.log)
        self.profiles = ProfileFile(Path(settings.profiles)) if settings.profiles else None
        #: The lists in force; `lists` changes them once the runtime is prepared.
        self.book = ListBook()
        self.lists: ListService | None = None
        self.stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def opened(self) -> Opened:
        """The bundle that decides."""
        return self.watcher.opened

    @abstractmethod
    async def _succeed(self, opened: Opened) -> None:
        """Let another bundle decide from the next payment on.

        Raises: LedgerError when its event cannot be recorded now.
        """

    @abstractmethod
    def ready(self) -> Ready:
        """Whether payments are scored in full, and if not why."""

    def _notice(self, decided: Decided) -> None:
        self.metrics.noticed(decided)
        self.decision_log.note(decided)

    def _readiness(self, checks: dict[str, str], breakers: Breakers | None, set_aside: str) -> Ready:
        if self.stopping:
            checks["service"] = "The service is stopping."
        ready = all(text == "ok" for text in checks.values())
        if breakers is not None:  # shown, but an open breaker is no reason to send payments elsewhere
            checks["breakers"] = breakers.sentence()
        notes = {"bundle": self.watcher.refused, "set_aside": set_aside}
        return Ready(ready, checks, {name: note for name, note in notes.items() if note})

    def _show(self, now: Callable[[], Decider]) -> None:
        """Register the metrics of both profiles; `now` returns the decider in use."""
        show_decider(self.metrics, now)
        show_bundle_watcher(self.metrics, self.watcher)
        for name in LISTS:
            self.metrics.watch(f"riskgate_{name}_list_entries", f"Entries of the {name} list.", self._counting(name))
        self.metrics.watch("riskgate_ready", "1 when payments are scored in full.", lambda: float(self.ready().ready))

    def _counting(self, name: str) -> Callable[[], float]:
        return lambda: self.book.counts[name]

    def _start(self, *background: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        shared = (self.watcher.run(), measure_lag(self.metrics))
        self._tasks += [loop.create_task(_logged(work)) for work in (*background, *shared)]
        with contextlib.suppress(ValueError, RuntimeError):  # signals reach only the main thread
            loop.add_signal_handler(signal.SIGHUP, self.watcher.check_now)
        self.decision_log.begin()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.decision_log.end()


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("a background task ended")
