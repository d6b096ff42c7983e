"""Keeps the copy of `list` events in Redis short: those of the last minute, and what is not in PostgreSQL yet."""

from __future__ import annotations

import time
from collections.abc import Callable

from serving.errors import LedgerUnavailable
from serving.ledger.postgres.session import Session
from serving.recorder import postgres_writer
from serving.redis_store.keys import Keys
from serving.redis_store.server_checks import REDIS_ERRORS, redis_client
from serving.redis_store.stream_entry import seq_of, stream_id_of
from serving.store_config import RedisConfig

#: Every worker reads the copy once a second; one that is later reads PostgreSQL.
KEEP_SECONDS = 60
EVERY_SECONDS = 10.0


class ListTrimmer:
    """The recorder's chore; the last event stays, because the next one names it."""

    def __init__(self, redis: RedisConfig, wall: Callable[[], float] = time.time) -> None:
        self._redis = redis_client(redis.url)
        self._key = Keys(redis.prefix).lists
        self._wall = wall
        self._next = 0.0

    def __call__(self, session: Session) -> int:
        """Remove what is old and recorded; returns how many events.

        Raises: LedgerUnavailable when Redis does not answer.
        """
        if self._wall() < self._next:
            return 0
        self._next = self._wall() + EVERY_SECONDS
        old = seq_of(f"{int((self._wall() - KEEP_SECONDS) * 1000)}-0")
        try:
            last = self._redis.xrevrange(self._key, count=1)
            if not last:
                return 0
            first_kept = min(postgres_writer.position(session), old, seq_of(last[0][0]))
            return int(self._redis.xtrim(self._key, minid=stream_id_of(first_kept), approximate=False))
        except REDIS_ERRORS as error:
            raise LedgerUnavailable("Redis does not answer.", "It is tried again.") from error
