"""Imports past payments into the PostgreSQL ledger: one event with the lowest sequence number.

The parquet itself stays a file below RISKGATE_VAR, on every machine that builds state, verifies or records late
labels: as rows of a database it would be neither smaller nor safer. `python -m serving rebuild-state` brings its state
to Redis.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from serving.audit.import_history import store_history
from serving.errors import CannotStart
from serving.ledger.event_bodies import HistoryEvent, encode
from serving.ledger.hash_key import KIND as HASHING
from serving.ledger.hash_key import HashingEvent, check_hash_key
from serving.ledger.postgres import schema
from serving.ledger.postgres.ledger import PostgresLedger
from serving.ledger.postgres.session import first_session
from serving.ledger.token_key import shared_tokens
from serving.recorder import postgres_writer
from serving.redis_store.server_checks import redis_client
from serving.redis_store.stream_entry import StreamEntry
from serving.store_config import LedgerConfig, RedisConfig

#: Lower than the sequence number of any stream entry.
HASHING_SEQ, HISTORY_SEQ = 1, 2


def append_history(config: LedgerConfig, redis: RedisConfig, source: Path, until_ms: int | None = None) -> HistoryEvent:
    """Record a `history` event in a ledger without payments and store the parquet on this machine.

    Raises: InvalidHistory, CannotStart when the ledger has payments or a history.
    """
    schema.prepare(config.postgres_url, config.redis_prefix)
    ledger = PostgresLedger(config, "riskgate-import")
    try:
        if _unrecorded(redis) or ledger.has_past():
            raise CannotStart(
                "The ledger already holds payments or a history: a history is imported once, before all payments.",
                "Set RISKGATE_POSTGRES_URL and RISKGATE_REDIS_PREFIX to new ones, import there, and start on them.",
            )
        names = check_hash_key(ledger, config.hash_key)
        event = store_history(config.segments, source, until_ms, names, shared_tokens(config))
        now_ms = time.time_ns() // 1_000_000
        entries = [StreamEntry(HISTORY_SEQ, "history", "", event.last_ms, now_ms, encode(event), None, None)]
        if names is not None and not ledger.of_kind(HASHING):
            body = msgspec.json.encode(HashingEvent(names.fingerprint))
            entries.insert(0, StreamEntry(HASHING_SEQ, HASHING, "", now_ms, now_ms, body, None, None))
        with first_session(config.postgres_url, "riskgate-import") as session:
            postgres_writer.insert(session, entries)
    finally:
        ledger.release()
    return event


def _unrecorded(redis: RedisConfig) -> int:
    """Entries of the stream that are not recorded yet."""
    client = redis_client(redis.url)
    try:
        return int(client.xlen(f"{redis.prefix}:events"))
    finally:
        client.close()
