"""Makes the state in Redis equal to the ledger again when it was lost or is older, while the workers decide by amount.

A state is lost when its mark is gone (FLUSHALL, an empty server) or says so: a process that finds a stream which ends
before what it saw writes that mark, and no script of a payment folds anything from then on. The active recorder drains
the stream, rebuilds the state from the ledger, and declares the incident as an event.
"""

from __future__ import annotations

import logging
import time

import msgspec

from serving.engine.clustered.rebuild import rebuild
from serving.engine.clustered.startup_checks import REBUILDING
from serving.errors import CannotStart, LedgerUnavailable
from serving.ledger.incidents import INCIDENT, IncidentEvent
from serving.ledger.postgres.ledger import PostgresLedger
from serving.ledger.postgres.session import Session
from serving.ledger.promotions import latest_catalogue
from serving.ledger.reader import COUNT_BITS
from serving.recorder import postgres_writer
from serving.redis_store.keys import Keys
from serving.redis_store.mark import LOST
from serving.redis_store.server_checks import REDIS_ERRORS, redis_client
from serving.store_config import LedgerConfig, RedisConfig

log = logging.getLogger("riskgate.recorder")

#: A mark that somebody's `rebuild-state` left is no reason to heal before this time.
PATIENCE_SECONDS = 60.0


class StateHealer:
    """The recorder's chore: heal a state that is lost."""

    def __init__(self, config: LedgerConfig, redis: RedisConfig) -> None:
        self.config, self.redis = config, redis
        self.healed = 0
        self._keys = Keys(redis.prefix)
        self._client = redis_client(redis.url)
        #: Since when the mark says that somebody rebuilds the state, monotonic seconds.
        self._rebuilding_since: float | None = None

    def __call__(self, session: Session) -> int:
        """Heal the state if it is lost and the stream is drained; returns 1 if it was healed.

        Raises: LedgerUnavailable when a server or the bundle is missing; it is tried again.
        """
        try:
            return self._heal(session)
        except REDIS_ERRORS as error:
            raise LedgerUnavailable("Redis does not answer.", "It is tried again.") from error
        except CannotStart as error:
            raise LedgerUnavailable(error.message, error.repair) from error

    def _heal(self, session: Session) -> int:
        mark = self._client.get(self._keys.contract)
        if mark != REBUILDING:
            self._rebuilding_since = None
        elif self._rebuilding_since is None:
            self._rebuilding_since = time.monotonic()
        abandoned = self._rebuilding_since is not None and time.monotonic() - self._rebuilding_since > PATIENCE_SECONDS
        if not (mark in (None, LOST) or abandoned):
            return 0
        ledger = PostgresLedger(self.config, "riskgate-heal")
        try:
            if not ledger.has_past():  # the first worker has not started yet
                return 0
            if mark is None:
                log.error("Redis has lost the state: payments are decided by amount until it is rebuilt")
                self._client.set(self._keys.contract, LOST)
            if self._client.xlen(self._keys.events):
                return 0  # the recorder drains it, and then comes back
            began_ms = time.time_ns() // 1_000_000
            from_ms = self._lost_since_ms(session)
            rebuilt = rebuild(self.redis, ledger, self.config.segments, latest_catalogue(ledger, self.config.bundles))
            to_ms = time.time_ns() // 1_000_000
            reason = "the state in Redis was lost" if mark is None else "the state in Redis was older than the ledger"
            self._declare(IncidentEvent(from_ms, to_ms, reason, "recorder"), to_ms)
        finally:
            ledger.release()
        self.healed += 1
        log.warning(
            "the state is rebuilt from the ledger: %d entities, %d payments, %.1f s",
            rebuilt.entities, rebuilt.payments, (to_ms - began_ms) / 1000,
        )  # fmt: skip
        return 1

    def _lost_since_ms(self, session: Session) -> int:
        """The last moment, ms UTC, that the state in Redis and the ledger have in common; 0 if it is not known."""
        found = self._client.get(self._keys.lost_from)
        return int(found) if found is not None else postgres_writer.position(session) >> COUNT_BITS

    def _declare(self, incident: IncidentEvent, now_ms: int) -> None:
        fields = {"k": INCIDENT, "t": "", "e": str(now_ms), "a": str(now_ms), "b": msgspec.json.encode(incident)}
        self._client.xadd(self._keys.events, fields)
        self._client.delete(self._keys.lost_from)
