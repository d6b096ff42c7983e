"""A running service: what it holds, what it does beside requests, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import IO, Any

from features.domain.payment import Payment
from features.errors import RiskgateError
from features.state.profiles import ProfileFile
from serving.challenger.shadow_process import ShadowProcess, show_challenger
from serving.decision.clock import clock_named
from serving.decision.decider import Decided
from serving.decision.receipt import code_version
from serving.engine.embedded.engine import Engine
from serving.engine.gauges import measure_lag, show_engine, show_ledger, show_succession
from serving.engine.gc_tuning import keep_what_is_there
from serving.errors import Conflict, LedgerError
from serving.ledger.event_bodies import decode_verdict
from serving.ledger.hash_key import settle_hashing
from serving.ledger.sqlite import wal_preallocate
from serving.ledger.sqlite.checkpoint import keep_short
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.messages import Ready
from serving.settings import Settings
from serving.state import heap_prefault, startup
from serving.state.bundle_watcher import Succession, warm
from serving.state.feedback import Feedback
from serving.state.foldable import UNFOLDABLE, reason_of
from serving.state.outcomes import LabelReport
from serving.state.startup import Opened
from serving.telemetry.decision_log import DecisionLog
from serving.telemetry.metrics import Metrics

log = logging.getLogger("riskgate")

VERDICTS_EVERY_SECONDS = 1.0


class Runtime:
    """Everything one service process holds while it runs."""

    def __init__(self, settings: Settings, bundle_folder: Path, find: Callable[[], Path] | None = None) -> None:
        """Check what must be right before anything listens; `find` says where the champion's bundle is now.

        Raises: CannotStart, BrokenBundle, ContractMismatch.
        """
        self.settings = settings
        self.metrics = Metrics()
        self.clock = clock_named(settings.clock)
        where = (lambda: bundle_folder) if find is None else find
        opened, refused = startup.open_champion(lambda: bundle_folder, settings)
        self.succession = Succession(settings, where, opened, self._succeed, self.metrics.swaps)
        self.succession.refused = refused
        self.shadow = ShadowProcess(settings)
        self.decision_log = DecisionLog(settings.log_decisions, settings.log)
        self.lock: IO[str] | None = startup.lock(settings)
        self.ledger = Ledger(settings.ledger_path, settings.ledger_sync)
        self.names = settle_hashing(self.ledger, settings)
        self.profiles = ProfileFile(Path(settings.profiles)) if settings.profiles else None
        self.engine: Engine | None = None
        self.feedback: Feedback | None = None
        self.stopping = False
        self.pressed: Callable[[], bool] = lambda: False  # payments wait: what can be put off is
        self._tasks: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Get ready to score while the event loop answers that it is not yet."""
        await asyncio.to_thread(self.load)

    def load(self) -> None:
        """Fold the ledger and get ready to score; takes as long as the ledger is long."""
        began = time.monotonic()
        opened = self.opened
        fold = startup.fold_ledger(self.ledger, opened.catalogue, self.settings)
        self.ledger.learn_ids()
        code = code_version()
        engine = Engine(
            catalogue=opened.catalogue, fold=fold, judge=opened.judge, ledger=self.ledger, clock=self.clock, code=code,
            notice=self._notice,
        )  # fmt: skip
        startup.note_promotion(self.ledger, opened, engine.decider.features_hash, code, self.clock.now_ms())
        if self.profiles is not None:
            startup.take_profiles(self.profiles, self.ledger, fold, self.names)
        self.feedback = Feedback(self.ledger, fold, self.clock)
        engine.fold.state.observe(ANYBODY)  # compiles the kernel before the first payment, not by it
        warm(opened)
        self.engine = engine
        show_engine(self.metrics, engine)
        show_ledger(self.metrics, self.ledger)
        show_succession(self.metrics, self.succession)
        show_challenger(self.metrics, self.settings, self.ledger)
        self.metrics.watch("riskgate_ready", "1 when payments are scored in full.", lambda: float(self.ready().ready))
        keep_what_is_there()
        log.info(
            "ready: %s, ledger at event %d, %d entities, %.1f s",
            engine.decider.model,
            self.ledger.last_seq(),
            fold.state.entities(),
            time.monotonic() - began,
        )

    def begin(self) -> None:
        """Start what runs beside the requests; needs the event loop."""
        for work in (
            keep_short(self.ledger, self.settings.wal_limit_bytes, lambda: self.pressed()),
            self._follow(),
            self.succession.follow(),
            measure_lag(self.metrics),
            heap_prefault.stay_ahead(lambda: None if self.engine is None else self.engine.fold.state),
            wal_preallocate.stay_ahead(self.settings.ledger_path),
            self.shadow.keep(),
        ):
            self._tasks.append(asyncio.get_running_loop().create_task(self._guarded(work)))
        with contextlib.suppress(ValueError, RuntimeError):  # only the main thread hears signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.succession.hurry)
        self.decision_log.begin()

    async def end(self) -> None:
        """Stop the work beside the requests, write a snapshot and close the ledger."""
        self.stopping = True
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.decision_log.end()
        self.shadow.end()
        try:
            self.ledger.flush()
            if self.engine is not None and self.engine.ledger_works and self.ledger.broken is None:
                path = startup.save_snapshot(self.engine.fold, self.ledger, self.settings)
                log.info("state written to %s", path)
        except (LedgerError, OSError) as error:
            log.error("no snapshot is written, the next start folds the whole ledger: %s", error)
        with contextlib.suppress(LedgerError):
            self.ledger.close()
        if self.lock is not None:
            self.lock.close()

    def ready(self) -> Ready:
        """Whether payments are scored in full, and if not why."""
        checks = {"bundle": "ok", "state": "ok", "ledger": "ok"}
        if self.engine is None:
            checks["state"] = "The ledger is still being folded into the online state."
        elif not self.engine.ledger_works:
            checks["ledger"] = "The ledger cannot be written; payments get the policy's default decision."
        if self.stopping:
            checks["service"] = "The service is stopping."
        ready = all(text == "ok" for text in checks.values())
        if self.engine is not None:  # told, but no reason to send payments elsewhere
            checks["breakers"] = self.engine.decider.breakers.sentence()
        notes = {"bundle": self.succession.refused} if self.succession.refused else {}
        if self.engine is not None and (aside := self.engine.fold.set_aside.note()):
            notes["set_aside"] = aside
        return Ready(ready, checks, notes)

    @property
    def opened(self) -> Opened:
        """The bundle that decides."""
        return self.succession.opened

    def _notice(self, decided: Decided) -> None:
        self.metrics.noticed(decided)
        self.decision_log.note(decided)

    async def _succeed(self, opened: Opened) -> None:
        """Let another bundle decide: its event and the exchange, between two payments."""
        engine = self.engine
        if engine is None or not engine.ledger_works:
            raise LedgerError("the ledger is not open for writing")
        decider, now_ms = engine.decider, self.clock.now_ms()
        startup.note_promotion(self.ledger, opened, decider.features_hash, decider.code, now_ms)
        engine.succeed(opened.judge)

    # -- beside the requests -------------------------------------------------------------------

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("work beside the requests ended")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(VERDICTS_EVERY_SECONDS)
            if self.engine is None or self.feedback is None:
                continue
            try:
                if self.engine.ledger_works:
                    self.take_verdicts()
                    if self.profiles is not None:
                        startup.take_profiles(self.profiles, self.ledger, self.engine.fold, self.names)
                elif self.ledger.can_write():
                    await self.rebuild(self.engine, self.feedback)
            except LedgerError as error:
                log.warning("the ledger did not answer: %s", error)
            except Exception:  # one event must not end what is done for all others
                log.exception("verdicts and profiles wait")

    def take_verdicts(self) -> int:
        """Make each new verdict of the review desk a label, once; how many there were."""
        assert self.feedback is not None
        taken = 0
        for event in self.ledger.of_kind("verdict", self.feedback.fold.verdict_seq):
            self._take_verdict(self.feedback, event)
            taken += 1
        return taken

    def _take_verdict(self, feedback: Feedback, event: Event) -> None:
        try:
            verdict = decode_verdict(event.body).verdict
            feedback.label(LabelReport(event.transaction_id, verdict, "review", event.event_time_ms), event.seq)
        except UNFOLDABLE as error:
            told = error if isinstance(error, RiskgateError) else reason_of(error)
            level = logging.INFO if isinstance(error, Conflict) else logging.WARNING
            log.log(level, "verdict %d became no label: %s", event.seq, told)
        feedback.fold.verdict_seq = max(feedback.fold.verdict_seq, event.seq)

    async def rebuild(self, engine: Engine, feedback: Feedback) -> None:
        """Fold the state anew beside the requests, which get the policy's default decision meanwhile."""
        log.warning("the ledger can be written again; the state is folded anew")
        began = time.monotonic()
        reader = Ledger(self.settings.ledger_path, read_only=True)
        try:
            fold = await asyncio.to_thread(startup.fold_ledger, reader, engine.catalogue, self.settings)
        finally:
            reader.release()
        feedback.fold = fold
        engine.ledger_restored(fold)
        log.warning("the state is that of the ledger again, after %.1f s", time.monotonic() - began)


#: Whose features are read once at start, so that the kernel is compiled by then.
ANYBODY = Payment(
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
