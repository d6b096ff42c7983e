"""A running service: what it holds, what it does beside requests, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import IO, Any

import msgspec

from features.errors import RiskgateError
from features.payment import Payment
from features.profiles import ProfileFile
from serving import start
from serving.checkpoint import keep_short
from serving.clock import clock_named
from serving.engine import Engine
from serving.errors import UnknownTransaction
from serving.feedback import Feedback
from serving.hashing import settle_hashing
from serving.ledger import Event, Ledger, LedgerError
from serving.messages import Ready
from serving.metrics import Metrics
from serving.receipt import code_version
from serving.reports import LabelReport
from serving.settings import Settings

log = logging.getLogger("riskgate")

VERDICTS_EVERY_SECONDS = 1.0


class Verdict(msgspec.Struct):
    """What the service reads of a `verdict` event; the desk writes more."""

    verdict: str


class Runtime:
    """Everything one service process holds while it runs."""

    def __init__(self, settings: Settings, bundle_folder: Path) -> None:
        """Check what must be right before anything listens.

        Raises: CannotStart, BrokenBundle, ContractMismatch.
        """
        start.check_listening(settings)
        self.settings = settings
        self.metrics = Metrics()
        self.clock = clock_named(settings.clock)
        self.opened = start.open_bundle(bundle_folder, settings)
        self.lock: IO[str] | None = start.lock(settings)
        self.ledger = Ledger(settings.ledger_path, settings.ledger_sync)
        self.names = settle_hashing(self.ledger, settings)
        self.profiles = ProfileFile(Path(settings.profiles)) if settings.profiles else None
        self.engine: Engine | None = None
        self.feedback: Feedback | None = None
        self.stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def load(self) -> None:
        """Fold the ledger and get ready to score; takes as long as the ledger is long."""
        began = time.monotonic()
        opened = self.opened
        fold = start.fold_ledger(self.ledger, opened.catalog, self.settings)
        code = code_version()
        engine = Engine(
            catalog=opened.catalog, fold=fold, judge=opened.judge, ledger=self.ledger, clock=self.clock, code=code
        )
        start.note_promotion(self.ledger, opened, engine.decider.features_hash, code, self.clock.now_ms())
        if self.profiles is not None:
            start.take_profiles(self.profiles, self.ledger, fold, self.names)
        self.feedback = Feedback(self.ledger, fold, self.clock)
        self._warm(engine)
        self.engine = engine
        self._watch(engine)
        # What lives until the end need not be looked at by the collector again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 1_000)
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
            keep_short(self.ledger, self.settings.wal_limit_bytes),
            self._follow(),
        ):
            self._tasks.append(asyncio.get_running_loop().create_task(self._guarded(work)))

    async def end(self) -> None:
        """Stop the work beside the requests, write a snapshot and close the ledger."""
        self.stopping = True
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.ledger.flush()
        if self.engine is not None and self.engine.ledger_works:
            path = start.save_snapshot(self.engine.fold, self.ledger, self.settings)
            log.info("state written to %s", path)
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
        return Ready(ready, checks)

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
                        start.take_profiles(self.profiles, self.ledger, self.engine.fold, self.names)
                elif self.ledger.can_write():
                    self._rebuild(self.engine, self.feedback)
            except LedgerError as error:
                log.warning("the ledger did not answer: %s", error)

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
            verdict = msgspec.json.decode(event.body, type=Verdict).verdict
            feedback.label(LabelReport(event.transaction_id, verdict, "review", event.event_time_ms), event.seq)
        except (RiskgateError, msgspec.DecodeError) as error:
            level = logging.WARNING if isinstance(error, UnknownTransaction) else logging.INFO
            log.log(level, "verdict %d became no label: %s", event.seq, error)
        feedback.fold.verdict_seq = max(feedback.fold.verdict_seq, event.seq)

    def _rebuild(self, engine: Engine, feedback: Feedback) -> None:
        log.warning("the ledger can be written again; the state is folded anew")
        fold = start.fold_ledger(self.ledger, engine.catalog, self.settings)
        feedback.fold = fold
        engine.ledger_restored(fold)

    def _warm(self, engine: Engine) -> None:
        # The kernel is compiled and the trees are paged in before the first payment, not by it.
        vector = engine.fold.state.observe(_ANYBODY)
        engine.judge.score(vector)
        engine.judge.scorer.contributions(vector)

    def _watch(self, engine: Engine) -> None:
        watch = self.metrics.watch
        watch("riskgate_too_late", "Entity updates older than every window.", lambda: engine.fold.state.too_late)
        watch("riskgate_entities", "Entities with a record in the state.", lambda: engine.fold.state.entities())
        watch("riskgate_state_bytes", "Bytes of window state in use.", lambda: engine.fold.state.bytes_used())
        watch("riskgate_ledger_seq", "Sequence number of the latest event.", lambda: self.ledger.last_seq())
        watch(
            "riskgate_exposure_minor",
            "Approved without a score in this minute, reference minor units.",
            lambda: engine.decider.exposure.spent(time.time_ns() // 1_000_000),
        )
        watch("riskgate_breakers_open", "Breakers that are open.", lambda: len(engine.decider.breakers.open))
        watch("riskgate_breaker_trips", "How often a breaker opened.", lambda: engine.decider.breakers.trips)
        watch("riskgate_ready", "1 when payments are scored in full.", lambda: float(self.ready().ready))


_ANYBODY = Payment(
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
