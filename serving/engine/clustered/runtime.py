"""A worker of the production profile: what it holds, what it does beside requests, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from features.state.profiles import ProfileFile
from features.state.remote import EntityStrings
from serving.decision.clock import clock_named
from serving.decision.decider import Decided, Decider
from serving.decision.exposure import Exposure
from serving.decision.receipt import code_version
from serving.engine.clustered import startup_checks
from serving.engine.clustered.engine import RedisEngine
from serving.engine.clustered.feedback import RedisFeedback
from serving.engine.clustered.ledger_lookup import RecordedPast
from serving.engine.clustered.profiles import SharedProfiles
from serving.engine.embedded.runtime import ANYBODY
from serving.engine.gauges import SET_ASIDE, measure_lag, show_decider, show_succession
from serving.engine.gc_tuning import keep_what_is_there
from serving.errors import LedgerError, StateUnavailable
from serving.ledger.hash_key import check_hashing
from serving.ledger.postgres.ledger import PostgresLedger
from serving.messages import Ready
from serving.redis_store.connect import connect
from serving.redis_store.server_checks import check_postgres, check_redis
from serving.settings import Settings
from serving.state import startup
from serving.state.bundle_watcher import Succession, warm
from serving.state.set_aside import SetAsideThere, decode_there
from serving.state.startup import Opened
from serving.telemetry.decision_log import DecisionLog
from serving.telemetry.metrics import Metrics

log = logging.getLogger("riskgate")

LOOK_EVERY_SECONDS = 1.0
#: How long a worker that ends waits for Redis to take what is not recorded yet.
LAST_SECONDS = 2.0


class RedisRuntime:
    """Everything one worker holds while it runs."""

    def __init__(self, settings: Settings, bundle_folder: Path, find: Callable[[], Path] | None = None) -> None:
        """Check what must be right before anything listens; `find` says where the champion's bundle is now.

        Raises: CannotStart, BrokenBundle, ContractMismatch, InvalidHistory.
        """
        for sentence in (*check_redis(settings), *check_postgres(settings)):
            log.warning("%s", sentence)
        self.settings = settings
        self.metrics = Metrics()
        self.clock = clock_named(settings.clock)
        opened, refused = startup.open_champion(lambda: bundle_folder, settings)
        where = (lambda: bundle_folder) if find is None else find
        self.succession = Succession(settings, where, opened, self._succeed, self.metrics.swaps)
        self.succession.refused = refused
        self.decision_log = DecisionLog(settings.log_decisions, settings.log)
        self.ledger = PostgresLedger(settings, "riskgate-worker")
        self.names = check_hashing(self.ledger, settings)
        self.past = RecordedPast(self.ledger, settings.var / "segments", opened.catalogue)
        self.past.segment()
        self.profiles = ProfileFile(Path(settings.profiles)) if settings.profiles else None
        self.engine: RedisEngine | None = None
        self.feedback: RedisFeedback | None = None
        self.stopping = False
        self.trouble = "The worker is still getting ready."
        self.set_aside = SetAsideThere()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def opened(self) -> Opened:
        """The bundle that decides."""
        return self.succession.opened

    async def prepare(self) -> None:
        """Connect, agree with the other workers, and get ready to score.

        Raises: CannotStart, StateUnavailable.
        """
        began = time.monotonic()
        opened = self.opened
        await asyncio.to_thread(make_ready, opened)
        state = await connect(self.settings)
        exposure = Exposure(self.settings.workers)
        decider = Decider(opened.judge, opened.catalogue, code_version(), exposure, notice=self._notice)
        engine = RedisEngine(catalogue=opened.catalogue, decider=decider, state=state, clock=self.clock, past=self.past)
        await startup_checks.agree_on_state(state, decider.features_hash, await asyncio.to_thread(self.ledger.has_past))
        state.expect(startup_checks.contract_of(decider.features_hash))
        await startup_checks.agree_on_hashing(state, self.names)
        await startup_checks.note_promotion(state, opened, decider.features_hash, decider.code, self.clock.now_ms())
        self.feedback = RedisFeedback(state, engine.strings, self.clock, self.past.original, self.past.reports)
        engine.shared_profiles = SharedProfiles(state, self.profiles, self.names, opened.catalogue)
        await engine.shared_profiles.read_all()
        self.set_aside = decode_there(await state.get(state.keys.set_aside))
        self.engine, self.trouble = engine, ""
        self._show(engine)
        keep_what_is_there()
        log.info("ready: %s, %.1f s", decider.model, time.monotonic() - began)

    def begin(self) -> None:
        """Start what runs beside the requests; needs the event loop."""
        assert self.engine is not None
        loop = asyncio.get_running_loop()
        for work in (
            self.engine.settling.follow(),
            self._follow(self.engine),
            self.succession.follow(),
            measure_lag(self.metrics),
        ):
            self._tasks.append(loop.create_task(_guarded(work)))
        with contextlib.suppress(ValueError, RuntimeError):  # only the main thread hears signals
            loop.add_signal_handler(signal.SIGHUP, self.succession.hurry)
        self.decision_log.begin()

    async def end(self) -> None:
        """Let Redis take what it has not yet, stop the work beside the requests and close the connections."""
        self.stopping = True
        if self.engine is not None:
            last = time.monotonic() + LAST_SECONDS
            while len(self.engine.settling) and time.monotonic() < last:
                await asyncio.sleep(0.02)
            if len(self.engine.settling):
                log.error("%d decisions were told and never recorded", len(self.engine.settling))
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.decision_log.end()
        if self.engine is not None:
            self.engine.state.close()
        self.ledger.release()

    def ready(self) -> Ready:
        """Whether payments are scored in full, and if not why."""
        checks = {"bundle": "ok", "state": self.trouble or "ok", "ledger": "ok"}
        notes = {"bundle": self.succession.refused} if self.succession.refused else {}
        if aside := self.set_aside.note():
            notes["set_aside"] = aside
        engine = self.engine
        if engine is not None and not self.trouble and not engine.state.works:
            checks["state"] = "Redis does not answer; payments get the policy's default decision."
        if engine is not None and engine.stream_full:
            checks["ledger"] = (
                "The stream holds as many unrecorded events as RISKGATE_STREAM_LIMIT allows; payments get the "
                "policy's default decision until the recorder has drained it."
            )
        if self.stopping:
            checks["service"] = "The service is stopping."
        ready = all(text == "ok" for text in checks.values())
        if engine is not None:  # told, but no reason to send payments elsewhere
            checks["breakers"] = engine.decider.breakers.sentence()
            if len(engine.settling):
                notes["settling"] = f"{len(engine.settling)} decisions wait for Redis to record them."
        return Ready(ready, checks, notes)

    # -- beside the requests -------------------------------------------------------------------

    async def _follow(self, engine: RedisEngine) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            with contextlib.suppress(StateUnavailable):
                await self._check_state(engine)
                await engine.shared_profiles.look()

    async def _check_state(self, engine: RedisEngine) -> None:
        """A Redis that came back without its data must not pass for one in which nobody ever paid."""
        self.set_aside = decode_there(await engine.state.get(engine.state.keys.set_aside))
        found = await engine.state.get(engine.state.keys.contract)
        engine.state.trusted = found == startup_checks.contract_of(engine.decider.features_hash)
        trouble = "" if engine.state.trusted else (
            "Redis does not hold the state of this catalogue; payments get the policy's default decision. "
            "Build it from the ledger: python -m serving rebuild-state."
        )  # fmt: skip
        if trouble and not self.trouble:
            log.error("%s", trouble)
        self.trouble = trouble

    def _notice(self, decided: Decided) -> None:
        self.metrics.noticed(decided)
        self.decision_log.note(decided)

    async def _succeed(self, opened: Opened) -> None:
        """Let another bundle decide from the next payment on; its event is recorded once for all workers."""
        engine = self.engine
        if engine is None:
            raise LedgerError("the worker is not ready yet")
        decider = engine.decider
        try:
            await startup_checks.note_promotion(
                engine.state, opened, decider.features_hash, decider.code, self.clock.now_ms()
            )
        except StateUnavailable as error:
            raise LedgerError(str(error)) from error
        engine.succeed(opened.judge)

    def _show(self, engine: RedisEngine) -> None:
        show_decider(self.metrics, lambda: engine.decider)
        show_succession(self.metrics, self.succession)
        watch = self.metrics.watch
        watch("riskgate_ready", "1 when payments are scored in full.", lambda: float(self.ready().ready))
        watch("riskgate_redis_up", "1 while Redis answers.", lambda: float(engine.state.works))
        watch("riskgate_events_set_aside", SET_ASIDE, lambda: self.set_aside.count)
        watch("riskgate_unsettled", "Decisions told and not recorded yet.", lambda: len(engine.settling))
        self.metrics.count(
            "riskgate_too_late", "Entity updates older than every window.", lambda: engine.strings.too_late
        )
        self.metrics.count("riskgate_without_state", "Payments decided without state.", lambda: engine.misses)


def make_ready(opened: Opened) -> None:
    """Compile the kernel and page the trees in before the first payment, not by it."""
    strings = EntityStrings(opened.catalogue)
    entry = strings.entry(ANYBODY)
    strings.observe(ANYBODY, entry, [None] * len(entry.keys), None)
    strings.packed(0)
    warm(opened)


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("work beside the requests ended")
