"""The recorder: moves the stream from Redis into PostgreSQL, in order, and trims the recorded part in Redis.

One recorder is active at a time, the holder of an advisory lock; the others stand by and continue where it ended. The
position in the stream is written in the same transaction as the events before it, so a recorder may be killed at any
point: no event is skipped or written twice. Because one recorder writes in the order of the stream, a reader that
follows the ledger by sequence number misses nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from features.errors import RiskgateError
from serving.errors import LedgerError
from serving.ledger.postgres import schema
from serving.ledger.postgres.session import Session, ledger_errors, place_of, session
from serving.ledger.reader import COUNT_BITS
from serving.recorder import postgres_writer
from serving.recorder.metrics import RecorderMetrics
from serving.recorder.postgres_writer import Written
from serving.redis_store.keys import Keys
from serving.redis_store.mark import LOST
from serving.redis_store.server_checks import REDIS_ERRORS, redis_client, redis_place_of
from serving.redis_store.stream_entry import StreamEntry, UnreadableEntry, parse_entry, seq_of, stream_id_of
from serving.store_config import LedgerConfig, RedisConfig

log = logging.getLogger("riskgate.recorder")

BATCH = 2_000
#: Pause after a batch that was not full, seconds: PostgreSQL commits many events for little more than few.
GATHER_SECONDS = 0.03
#: How long XREAD blocks, milliseconds.
BLOCK_MS = 500
STANDBY_SECONDS = 0.5
DRAIN_SECONDS = 5.0
#: Exponential back-off while a server is down, seconds: the first pause and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

#: Work of the active recorder between batches: derive labels from verdicts. Returns how much it did.
Chore = Callable[[Session], int]


class Recorder:
    """Records the stream of one prefix until `stopping` is set; a failing server is retried, nothing is skipped."""

    def __init__(
        self,
        config: LedgerConfig,
        redis: RedisConfig,
        metrics: RecorderMetrics,
        chores: tuple[Chore, ...] = (),
    ) -> None:
        self.config = config
        self.metrics = metrics
        self.chores = chores
        self.keys = Keys(redis.prefix)
        self.key = self.keys.events
        self.stopping = threading.Event()
        self._chores_wait_until = 0.0
        self._pause, self._url = FIRST_PAUSE, redis.url
        self._redis = redis_client(redis.url)

    def run(self) -> None:
        """Record until `stopping` is set.

        Raises: CannotStart when the database holds the tables of another release.
        """
        url = self.config.postgres_url
        while not self.stopping.is_set():
            self.metrics.turned()
            try:
                with ledger_errors(), session(url, "riskgate-recorder") as own:
                    schema.check(own, url, self.config.redis_prefix)
                    if self._wait_for_lead(own):
                        self.metrics.active.set(1)
                        self._record(own)
            except LedgerError as error:
                self._wait_for(f"PostgreSQL at {place_of(url)}", str(error))
            except REDIS_ERRORS as error:
                # No text of a driver: it may repeat what is being written.
                self._wait_for(f"Redis at {redis_place_of(self._url)}", type(error).__name__)
            finally:
                self.metrics.active.set(0)
        self._redis.close()

    def _wait_for(self, server: str, why: str) -> None:
        log.warning("the recorder waits %.1f s for %s: %s", self._pause, server, why)
        self.metrics.failures.inc()
        self.stopping.wait(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _wait_for_lead(self, own: Session) -> bool:
        logged = False
        while not self.stopping.is_set():
            self.metrics.turned()
            if postgres_writer.try_lead(own):
                return True
            if not logged:
                log.info("another recorder records %s; standing by", self.key)
                logged = True
            self.stopping.wait(STANDBY_SECONDS)
        return False

    def _record(self, own: Session) -> None:
        after = self._start_position(own)
        self._trim(after)
        log.info("this recorder records %s", self.key)
        last = None
        while last is None or time.monotonic() < last:
            self.metrics.turned()
            batch = self.read(after)
            self._pause = FIRST_PAUSE  # both servers answer
            if self.stopping.is_set():
                if not batch:
                    return
                # While it stops, it drains the stream for a limited time: workers may still be writing.
                last = last or time.monotonic() + DRAIN_SECONDS
            if batch:
                began = time.monotonic()
                written = self._write(own, batch)
                after = batch[-1].seq
                self.metrics.recorded(written, time.monotonic() - began, batch[-1].seq)
                for one in batch:
                    if isinstance(one, UnreadableEntry):
                        log.error("entry %s of the stream is no event: %s", stream_id_of(one.seq), one.reason)
                self._trim(after)
            self._do_chores(own)
            if 0 < len(batch) < BATCH:
                self.stopping.wait(GATHER_SECONDS)

    def _write(self, own: Session, batch: list[StreamEntry | UnreadableEntry]) -> Written:
        try:
            return postgres_writer.record(own, batch)
        except postgres_writer.REFUSED as error:
            log.error("the tables refuse an entry of a batch (%s); it is stored as unreadable", type(error).__name__)
            return postgres_writer.record_each(own, batch)

    def _start_position(self, own: Session) -> int:
        after = postgres_writer.position(own)
        if not after or self.latest() >= after:
            return after
        # Redis lost the stream. If its clock is behind, new ids would be lower than the recorded ones.
        if not self._redis.xlen(self.key):
            if self._redis.exists(self.keys.contract):
                self._redis.set(self.keys.lost_from, str(self.latest() >> COUNT_BITS), nx=True)
                self._redis.set(self.keys.contract, LOST)
            self._create_stream(after)
            return after
        # Redis is older than the ledger, and so is its state: nothing is folded into it until it is rebuilt.
        log.error("the stream ends before the recorded position (%s): it is read from its start", stream_id_of(after))
        self._redis.set(self.keys.lost_from, str(self.latest() >> COUNT_BITS), nx=True)
        self._redis.set(self.keys.contract, LOST)
        postgres_writer.restart_position(own)
        self._redis.execute_command("XSETID", self.key, stream_id_of(after))
        return 0

    def _create_stream(self, after: int) -> None:
        """Create an empty stream whose ids continue after the recorded ones."""
        log.warning("the stream was lost; a new one continues at %s", stream_id_of(after))
        self._redis.xgroup_create(self.key, "begin", id="0", mkstream=True)
        self._redis.xgroup_destroy(self.key, "begin")
        self._redis.execute_command("XSETID", self.key, stream_id_of(after))

    def read(self, after: int) -> list[StreamEntry | UnreadableEntry]:
        """The next entries of the stream after a sequence number; empty after `BLOCK_MS` without a new one."""
        found = self._redis.xread({self.key: stream_id_of(after)}, count=BATCH, block=BLOCK_MS)
        return [parse_entry(stream_id, fields) for _, entries in found for stream_id, fields in entries]

    def latest(self) -> int:
        """The sequence number of the newest entry ever in the stream; 0 without a stream."""
        if not self._redis.exists(self.key):
            return 0
        return seq_of(self._redis.xinfo_stream(self.key)["last-generated-id"])

    def _trim(self, recorded: int) -> None:
        """Trim the recorded entries from the stream; the rest is the recorder's lag."""
        if recorded:
            self._redis.xtrim(self.key, minid=stream_id_of(recorded + 1), approximate=False)
        self.metrics.lag.set(self._redis.xlen(self.key))

    def _do_chores(self, own: Session) -> None:
        if time.monotonic() < self._chores_wait_until:
            return
        for chore in self.chores:
            try:
                chore(own)
            except RiskgateError as error:
                log.warning("verdicts are not yet labels: %s", error)
                self._chores_wait_until = time.monotonic() + LONGEST_PAUSE
