"""A worker of the production profile: its connections and state, its background work, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from features.state.remote import EntityStrings
from serving.decision.decider import Decider
from serving.decision.receipt import code_version
from serving.engine.clustered import startup_checks
from serving.engine.clustered.engine import RedisEngine
from serving.engine.clustered.feedback import RedisFeedback
from serving.engine.clustered.health import Health
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.engine.clustered.profiles import SharedProfiles
from serving.engine.gauges import SET_ASIDE, show_waiting
from serving.engine.gc_tuning import freeze_gc
from serving.engine.profile_runtime import WARMUP_PAYMENT, ProfileRuntime
from serving.errors import LedgerError, LedgerUnavailable, StateUnavailable
from serving.ledger.hash_key import check_hash_key
from serving.ledger.postgres.ledger import PostgresLedger
from serving.ledger.token_key import shared_tokens
from serving.lists.shared import SharedLists
from serving.lists.values import EntryReader
from serving.messages import Ready
from serving.redis_store.connect import connect
from serving.settings import Settings
from serving.shared_bounds.bounds import Bounds
from serving.shared_bounds.exchange import Exchange
from serving.shared_bounds.exposure import SharedExposure
from serving.state.bundle_watcher import warm
from serving.state.champion import Champion
from serving.state.set_aside import SharedSetAside, decode_shared
from serving.state.startup import Opened

log = logging.getLogger("riskgate")

CHECK_EVERY_SECONDS = 1.0
SWEEP_EVERY_SECONDS = 10.0
#: How long a stopping worker waits for Redis to take the decisions of the outbox.
FLUSH_SECONDS = 2.0


class RedisRuntime(ProfileRuntime):
    """A worker with state in Redis, shared with other workers, and the ledger in PostgreSQL."""

    def __init__(self, settings: Settings, champion: Champion) -> None:
        """Open the ledger and the imported history.

        Raises: CannotStart, InvalidHistory.
        """
        super().__init__(settings, champion)
        self.ledger = PostgresLedger(settings.ledger, "riskgate-worker")
        self.names = check_hash_key(self.ledger, settings.hash_key)
        self.tokens = shared_tokens(settings.ledger)
        self.lookup = LedgerLookup(self.ledger, settings.ledger.segments, self.opened.catalogue)
        self.lookup.segment()
        self.bounds = Bounds(1.0 / settings.workers)
        self.exchange: Exchange | None = None
        self.engine: RedisEngine | None = None
        self.feedback: RedisFeedback | None = None
        self.lists: SharedLists | None = None
        self.health: Health | None = None
        self.set_aside = SharedSetAside()

    async def prepare(self) -> None:
        """Connect, compare with the other workers, and get ready to score.

        Raises: CannotStart, StateUnavailable.
        """
        began = time.monotonic()
        opened = self.opened
        await asyncio.to_thread(warm_up, opened)
        state = await connect(self.settings.redis)
        exposure = SharedExposure(self.bounds)
        decider = Decider(
            opened.evaluator, opened.catalogue, code_version(), exposure, notice=self._notice, lists=self.book
        )
        engine = RedisEngine(
            catalogue=opened.catalogue, decider=decider, state=state, clock=self.clock, lookup=self.lookup
        )
        has_past = await asyncio.to_thread(self.ledger.has_past)
        await startup_checks.until_healed(state, has_past)
        await startup_checks.agree_on_state(state, decider.features_hash, has_past)
        state.expect(startup_checks.contract_of(decider.features_hash))
        await startup_checks.agree_on_hashing(state, self.names)
        await startup_checks.note_promotion(state, opened, decider.code, self.clock.now_ms())
        self.feedback = feedback = RedisFeedback(
            state, engine.strings, self.clock, self.lookup, lambda: self.opened.bundle.policy.label_precedence
        )
        state.on_known = feedback.on_known
        show_waiting(self.metrics, lambda: feedback.waiting_count, lambda: feedback.refused_count)
        engine.shared_profiles = SharedProfiles(state, self.profiles, self.names, opened.catalogue, self.tokens)
        await engine.shared_profiles.read_all()
        lists = SharedLists(state, self.ledger, self.book, EntryReader(self.names, self.tokens.replace), self.clock)
        await lists.load()
        await lists.take_over(opened.bundle.policy, opened.bundle.model_name)
        self.lists = lists
        self.set_aside = decode_shared(await state.get(state.keys.set_aside))
        self.bounds.members.append(exposure)
        self.exchange = Exchange(state, self.bounds, lambda: engine.decider.breakers, self.settings.workers)
        await self.exchange.join()
        self._keep_outbox(engine)
        self.engine, self.health = engine, Health(engine)
        self._show(lambda: engine.decider)
        self._show_redis(engine)
        freeze_gc()
        log.info("ready: %s, %.1f s", decider.model, time.monotonic() - began)

    def begin(self) -> None:
        """Start the background work; needs the event loop."""
        assert self.engine is not None
        assert self.health is not None
        assert self.feedback is not None
        assert self.lists is not None
        assert self.exchange is not None
        self._start(
            self.engine.outbox.run(),
            self._follow_state(self.engine, self.health, self.feedback),
            _sweep_waiting(self.feedback),
            self._follow_lists(self.lists),
            self.exchange.run(),
        )

    async def end(self) -> None:
        """Flush the outbox to Redis, stop the background work and close the connections."""
        self.stopping = True
        if self.engine is not None:
            last = time.monotonic() + FLUSH_SECONDS
            while len(self.engine.outbox) and time.monotonic() < last:
                await asyncio.sleep(0.02)
            if len(self.engine.outbox):
                log.error("%d decisions wait in the outbox for the next worker", len(self.engine.outbox))
        await self._stop()
        if self.exchange is not None:
            await self.exchange.end()
        if self.engine is not None:
            self.engine.outbox.close()
            self.engine.state.close()
        self.ledger.release()

    def ready(self) -> Ready:
        """Whether payments are scored in full, and if not why."""
        engine, health, checks = self.engine, self.health, {"bundle": "ok", "state": "ok", "ledger": "ok"}
        if engine is None or health is None:
            checks["state"] = "The worker is still getting ready."
            return self._readiness(checks, None, self.set_aside.note())
        checks["state"] = health.state() or "ok"
        if engine.stream_full:
            checks["ledger"] = (
                "The stream holds as many unrecorded events as RISKGATE_STREAM_LIMIT allows; payments get the "
                "policy's default decision until the recorder has drained it."
            )
        ready = self._readiness(checks, engine.decider.breakers, self.set_aside.note())
        if len(engine.outbox):
            ready.notes["settling"] = f"{len(engine.outbox)} decisions wait for Redis to record them."
        if engine.outbox.dropped:
            ready.notes["dropped"] = (
                f"{engine.outbox.dropped} decisions were answered and could not be kept: memory and disk were full. "
                "The log of this worker names the file."
            )
        if late := health.recorder():
            ready.notes["recorder"] = late
        return ready

    # -- in the background ---------------------------------------------------------------------

    async def _follow_state(self, engine: RedisEngine, health: Health, feedback: RedisFeedback) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_SECONDS)
            for look in (lambda: self._check_state(engine), health.look, engine.shared_profiles.refresh,
                         feedback.count_waiting):  # fmt: skip
                with contextlib.suppress(StateUnavailable):
                    await look()

    async def _follow_lists(self, lists: SharedLists) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_SECONDS)
            with contextlib.suppress(LedgerUnavailable):  # of PostgreSQL or Redis: the next time catches up
                await lists.follow()

    async def _check_state(self, engine: RedisEngine) -> None:
        """Detect a Redis that came back without its data: empty state must not be read as "no earlier payments"."""
        self.set_aside = decode_shared(await engine.state.get(engine.state.keys.set_aside))
        found = await engine.state.get(engine.state.keys.contract)
        engine.state.trust(found == startup_checks.contract_of(engine.decider.features_hash))

    def _keep_outbox(self, engine: RedisEngine) -> None:
        try:
            engine.outbox.keep_in(
                self.settings.var / "outbox", engine.strings.entry, lambda name: self.lookup.content(name) is not None
            )
        except OSError as error:
            log.error(
                "decisions that wait for Redis are kept in memory only: %s cannot be written (%s). Set RISKGATE_VAR to "
                "a folder that can.", self.settings.var / "outbox", error.strerror,
            )  # fmt: skip

    async def _succeed(self, opened: Opened) -> None:
        """Let another bundle decide from the next payment on; one worker records its event."""
        engine = self.engine
        if engine is None:
            raise LedgerError("the worker is not ready yet")
        decider = engine.decider
        try:
            if self.lists is not None:
                await self.lists.take_over(opened.bundle.policy, opened.bundle.model_name)
            await startup_checks.note_promotion(engine.state, opened, decider.code, self.clock.now_ms())
        except LedgerUnavailable as error:
            raise LedgerError(str(error)) from error
        engine.decider = decider.successor(opened.evaluator, engine.catalogue)

    def _show_redis(self, engine: RedisEngine) -> None:
        watch = self.metrics.watch
        watch("riskgate_redis_up", "1 while Redis answers.", lambda: float(engine.state.works))
        watch("riskgate_events_set_aside", SET_ASIDE, lambda: self.set_aside.count)
        watch("riskgate_unsettled", "Decisions answered and not recorded yet.", lambda: len(engine.outbox))
        self.metrics.count(
            "riskgate_too_late", "Entity updates older than every window.", lambda: engine.strings.too_late
        )
        watch("riskgate_bounds_fraction", "This process's fraction of every bound.", lambda: self.bounds.fraction)
        watch(
            "riskgate_bounds_alone",
            "1 while this process keeps to its fraction, because Redis does not answer.",
            lambda: float(self.exchange is not None and self.exchange.alone),
        )
        self.metrics.count(
            "riskgate_dropped", "Decisions answered that could not be kept.", lambda: engine.outbox.dropped
        )
        watch(
            "riskgate_unrecorded_seconds",
            "Age of the oldest event that the recorder has not written.",
            lambda: 0.0 if self.health is None else self.health.unrecorded_seconds,
        )
        self.metrics.count("riskgate_without_state", "Payments decided without state.", lambda: engine.misses)


async def _sweep_waiting(feedback: RedisFeedback) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_SECONDS)
        with contextlib.suppress(LedgerUnavailable):
            await feedback.sweep()


def warm_up(opened: Opened) -> None:
    """Compile the kernel and page the trees in before the first payment."""
    strings = EntityStrings(opened.catalogue)
    entry = strings.entry(WARMUP_PAYMENT)
    strings.observe(WARMUP_PAYMENT, entry, [None] * len(entry.keys), None)
    strings.packed(0)
    warm(opened)
