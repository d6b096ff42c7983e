"""The service process of the embedded profile: its ledger and state, its background work, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import IO

from features.domain.payment import REVIEW
from features.errors import RiskgateError
from features.state.memory import State
from serving.challenger.shadow_process import ShadowProcess, show_challenger
from serving.challenger.shadow_scores import ShadowScores
from serving.decision.receipt import code_version
from serving.engine.embedded.engine import EmbeddedEngine
from serving.engine.embedded.snapshot_process import SnapshotProcess
from serving.engine.gauges import show_ledger, show_snapshots, show_state, show_waiting
from serving.engine.gc_tuning import freeze_gc
from serving.engine.profile_runtime import WARMUP_PAYMENT, ProfileRuntime
from serving.errors import Conflict, LedgerError
from serving.feedback.reports import LabelReport
from serving.ledger.event_bodies import decode_verdict
from serving.ledger.hash_key import bind_hash_key
from serving.ledger.open import damage_refused
from serving.ledger.sqlite import wal_preallocate
from serving.ledger.sqlite.checkpoint import run_checkpoints
from serving.ledger.sqlite.guard import LedgerGuard
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.ledger.sqlite.process_lock import lock
from serving.ledger.token_key import tokens_of
from serving.lists.embedded import EmbeddedLists
from serving.lists.values import EntryReader
from serving.messages import Ready
from serving.settings import Settings
from serving.state import heap_prefault, snapshots, startup
from serving.state.bundle_watcher import warm
from serving.state.champion import Champion
from serving.state.feedback import EmbeddedFeedback
from serving.state.fold import Fold
from serving.state.foldable import UNFOLDABLE, reason_of
from serving.state.startup import Opened

log = logging.getLogger("riskgate")

VERDICTS_EVERY_SECONDS = 1.0
#: A start that folded more events than this writes a snapshot before it is ready: the next one is then short, even if
#: this service is killed at once.
LONG_TAIL = 250_000


class EmbeddedRuntime(ProfileRuntime):
    """A service process with state in memory and the ledger in SQLite."""

    def __init__(self, settings: Settings, champion: Champion) -> None:
        """Lock and open the ledger.

        Raises: CannotStart.
        """
        super().__init__(settings, champion)
        self.config = settings.ledger
        self.shadow = ShadowProcess(settings)
        self.snapshots = SnapshotProcess(self.config, settings.log)
        self.lock: IO[str] | None = lock(settings.var)
        self.guard = LedgerGuard(self.config.sqlite)
        with damage_refused(self.config.sqlite):
            self.ledger = Ledger(self.config.sqlite, self.config.sync)
            self.guard.begin(self.ledger)
            self.names = bind_hash_key(self.ledger, settings.hash_key)
            self.tokens = tokens_of(self.config, self.ledger)
        self.engine: EmbeddedEngine | None = None
        self.lists: EmbeddedLists | None = None
        self.feedback: EmbeddedFeedback | None = None
        #: Whether payments are waiting: deferrable work then waits too.
        self.under_pressure: Callable[[], bool] = lambda: False

    async def prepare(self) -> None:
        """Get ready to score in a thread; meanwhile the event loop answers `/readyz`."""
        await asyncio.to_thread(self._load_or_refuse)

    def _load_or_refuse(self) -> None:
        with damage_refused(self.config.sqlite):
            self.load()

    def load(self) -> None:
        """Get ready to score: read the newest snapshot and fold the events behind it."""
        began = time.monotonic()
        opened = self.opened
        fold = startup.fold_ledger(self.ledger, opened.catalogue, self.config)
        self.ledger.learn_ids(fold.ids, fold.snapshot_seq)
        self.snapshots.seq = fold.snapshot_seq
        tail = fold.seq - fold.snapshot_seq
        log.info("%d events folded behind the snapshot of event %d in %.1f s", tail, fold.snapshot_seq, _since(began))
        if tail > LONG_TAIL:
            self._save(fold)
        code = code_version()
        engine = EmbeddedEngine(
            catalogue=opened.catalogue, fold=fold, evaluator=opened.evaluator, ledger=self.ledger, clock=self.clock,
            code=code, notice=self._notice, lists=self.book,
        )  # fmt: skip
        startup.note_promotion(self.ledger, opened, code, self.clock.now_ms())
        lists = EmbeddedLists(self.ledger, self.book, EntryReader(self.names, self.tokens.replace), self.clock)
        lists.load()
        lists.take_over(opened.bundle.policy, opened.bundle.model_name)
        if self.profiles is not None:
            startup.append_profiles(self.profiles, self.ledger, fold, self.names, self.tokens)
        self.feedback = feedback = EmbeddedFeedback(
            self.ledger, fold, self.clock, lambda: self.opened.bundle.policy.label_precedence
        )
        feedback.load_waiting()
        engine.waiting, engine.on_known = feedback.waiting, feedback.on_known
        engine.fold.state.observe(WARMUP_PAYMENT)  # compiles the kernel before the first payment
        warm(opened)
        self.engine, self.lists = engine, lists
        self._show(lambda: engine.decider)
        show_state(self.metrics, engine)
        show_ledger(self.metrics, self.ledger)
        show_snapshots(self.metrics, lambda: self.ledger.last_seq() - self.snapshots.seq)
        show_waiting(self.metrics, lambda: len(feedback.waiting), lambda: feedback.refused_count)
        if self.settings.challenger:
            show_challenger(self.metrics, ShadowScores(self.config.shadow), self.ledger)
        freeze_gc()
        log.info(
            "ready: %s, ledger at event %d, %d entities, %.1f s",
            engine.decider.model,
            self.ledger.last_seq(),
            fold.state.entities(),
            _since(began),
        )

    def begin(self) -> None:
        """Start the background work; needs the event loop."""
        self._start(
            run_checkpoints(self.ledger, self.settings.wal_limit_bytes, lambda: self.under_pressure()),
            self._follow_ledger(),
            heap_prefault.run_prefault(self._state),
            wal_preallocate.run_preallocation(self.config.sqlite),
            self.guard.run(),
            self.shadow.keep(),
            self.snapshots.keep(self._state, self.ledger.last_seq, lambda: self.opened.bundle.contract),
        )

    async def end(self) -> None:
        """Stop the background work, write a snapshot and close the ledger."""
        self.stopping = True
        await self._stop()
        self.shadow.end()
        self.snapshots.end()
        try:
            self.ledger.flush()
            self.guard.end(self.ledger)
        except LedgerError as error:
            log.error("no snapshot is written, the next start folds what is behind the last one: %s", error)
        else:
            if self.engine is not None and self.engine.ledger_works and self.ledger.broken is None:
                self._save(self.engine.fold)
        with contextlib.suppress(LedgerError):
            self.ledger.close()
        if self.lock is not None:
            self.lock.close()

    def _save(self, fold: Fold) -> None:
        """Write the state after the last event; the ledger is flushed."""
        try:
            path = snapshots.save(fold, self.ledger, self.config.snapshots)
        except (LedgerError, OSError) as error:
            log.error("no snapshot is written, the next start folds what is behind the last one: %s", error)
        else:
            self.snapshots.seq = self.ledger.last_seq()
            log.info("state written to %s", path)

    def _state(self) -> State | None:
        return None if self.engine is None else self.engine.fold.state

    def ready(self) -> Ready:
        """Whether payments are scored in full, and if not why."""
        engine = self.engine
        checks = {"bundle": "ok", "state": "ok", "ledger": "ok", "ledger_complete": self.guard.completeness()}
        if engine is None:
            checks["state"] = "The ledger is still being folded into the online state."
            return self._readiness(checks, None, "")
        if damage := self.guard.damage():
            checks["ledger"] = damage
        elif not engine.ledger_works:
            checks["ledger"] = "The ledger cannot be written; payments get the policy's default decision."
        return self._readiness(checks, engine.decider.breakers, engine.fold.set_aside.note())

    async def _succeed(self, opened: Opened) -> None:
        """Append the `promotion` event and change the bundle in one turn, between two payments."""
        engine = self.engine
        if engine is None or not engine.ledger_works:
            raise LedgerError("the ledger is not open for writing")
        if self.lists is not None:
            self.lists.take_over(opened.bundle.policy, opened.bundle.model_name)
        decider, now_ms = engine.decider, self.clock.now_ms()
        startup.note_promotion(self.ledger, opened, decider.code, now_ms)
        engine.decider = decider.successor(opened.evaluator, engine.catalogue)

    # -- in the background ---------------------------------------------------------------------

    async def _follow_ledger(self) -> None:
        while True:
            await asyncio.sleep(VERDICTS_EVERY_SECONDS)
            if self.engine is None or self.feedback is None or self.lists is None:
                continue
            try:
                if self.engine.ledger_works:
                    await self.lists.follow()
                    self.feedback.retry_waiting()
                    self.take_verdicts()
                    if self.profiles is not None:
                        startup.append_profiles(self.profiles, self.ledger, self.engine.fold, self.names, self.tokens)
                elif self.ledger.can_write():
                    await self.rebuild(self.engine, self.feedback)
            except LedgerError as error:
                log.warning("the ledger did not answer: %s", error)
            except Exception:  # one event must not end this task
                log.exception("verdicts and profile rows could not be read; trying again")

    def take_verdicts(self) -> int:
        """Record each new verdict of the review desk as a label, once; returns how many there were."""
        assert self.feedback is not None
        taken = 0
        for event in self.ledger.of_kind("verdict", self.feedback.fold.verdict_seq):
            self._take_verdict(self.feedback, event)
            taken += 1
        return taken

    def _take_verdict(self, feedback: EmbeddedFeedback, event: Event) -> None:
        try:
            verdict = decode_verdict(event.body).verdict
            feedback.label(LabelReport(event.transaction_id, verdict, REVIEW, event.event_time_ms), event.seq)
        except UNFOLDABLE as error:
            reason = error if isinstance(error, RiskgateError) else reason_of(error)
            level = logging.INFO if isinstance(error, Conflict) else logging.WARNING
            log.log(level, "verdict %d became no label: %s", event.seq, reason)
        feedback.fold.verdict_seq = max(feedback.fold.verdict_seq, event.seq)

    async def rebuild(self, engine: EmbeddedEngine, feedback: EmbeddedFeedback) -> None:
        """Fold the state again in a thread; payments get the policy's default decision meanwhile."""
        log.warning("the ledger can be written again; the state is folded again")
        began = time.monotonic()
        reader = Ledger(self.config.sqlite, read_only=True)
        try:
            fold = await asyncio.to_thread(startup.fold_ledger, reader, engine.catalogue, self.config)
        finally:
            reader.release()
        feedback.fold = fold
        engine.ledger_restored(fold)
        log.warning("the state was folded from the ledger in %.1f s", time.monotonic() - began)


def _since(began: float) -> float:
    return time.monotonic() - began
