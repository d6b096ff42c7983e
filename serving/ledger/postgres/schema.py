"""The tables of the ledger in PostgreSQL, created and migrated under one lock, so that processes may start together.

`entries` holds the stream as recorded, `decisions` the decisions on its payments. The view `events` joins both into
the rows of the embedded ledger: a `payment` event has payment, receipt and answer; receipt and answer are null for a
payment that was admitted and never decided. Readers bring the same statement (serving/ledger/postgres/events.py), so
the view of an older release is not used.
"""

from __future__ import annotations

from collections.abc import Mapping

from serving.errors import CannotStart
from serving.ledger.postgres.events import EVENTS
from serving.ledger.postgres.session import Session, first_session, place_of

#: Incremented with each change of the tables; `MIGRATIONS[n]` leads from version n to n + 1.
VERSION = 1
#: Key of the advisory lock, unlikely to collide with other applications: the letters "riskgate".
LOCK = int.from_bytes(b"riskgate", "big") >> 1

_SCHEMA_TABLE = "CREATE TABLE IF NOT EXISTS riskgate_schema (version integer NOT NULL, prefix text NOT NULL)"

_TABLES = """
CREATE TABLE entries (
    seq bigint PRIMARY KEY,
    kind text NOT NULL,
    transaction_id text NOT NULL,
    event_time_ms bigint NOT NULL,
    arrival_time_ms bigint NOT NULL,
    body bytea NOT NULL
);
CREATE UNIQUE INDEX payment_once ON entries (transaction_id) WHERE kind = 'payment';
CREATE UNIQUE INDEX verdict_once ON entries (transaction_id) WHERE kind = 'verdict';
CREATE INDEX reports_of_transaction ON entries (transaction_id, kind)
    WHERE kind <> 'payment' AND transaction_id <> '';
CREATE INDEX others_by_kind ON entries (kind, seq) WHERE kind <> 'payment';
CREATE TABLE decisions (
    payment_seq bigint PRIMARY KEY,
    seq bigint NOT NULL,
    transaction_id text NOT NULL,
    event_time_ms bigint NOT NULL,
    arrival_time_ms bigint NOT NULL,
    body bytea NOT NULL
);
CREATE TABLE cases (
    transaction_id text PRIMARY KEY,
    opened_ms bigint NOT NULL,
    decision text NOT NULL,
    score double precision,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    payer_id text NOT NULL,
    device_id text,
    payee_id text NOT NULL,
    status text NOT NULL DEFAULT 'open',
    risk_minor bigint NOT NULL,
    verdict text,
    verdict_by text,
    verdict_at bigint,
    note text
);
CREATE INDEX cases_by_risk ON cases (status, risk_minor DESC, transaction_id);
CREATE TABLE verdicts_to_label (seq bigint PRIMARY KEY);
CREATE TABLE unreadable (seq bigint PRIMARY KEY, fields bytea NOT NULL, reason text NOT NULL);
CREATE TABLE stream_position (seq bigint NOT NULL);
INSERT INTO stream_position (seq) VALUES (0);
CREATE VIEW events AS
"""

#: From version n to n + 1.
MIGRATIONS: dict[int, str] = {}


def prepare(url: str, prefix: str, *, migrations: Mapping[int, str] = MIGRATIONS) -> int:
    """Create the tables in an empty database or migrate older ones; returns the version.

    Safe when several processes start at once.
    Raises: CannotStart for an unreachable server, a newer schema, or tables that belong to another prefix.
    """
    with first_session(url) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute(_SCHEMA_TABLE)
        found = connection.execute("SELECT version, prefix FROM riskgate_schema").fetchone()
        if found is None:
            connection.execute(_TABLES + EVENTS)
            connection.execute("INSERT INTO riskgate_schema (version, prefix) VALUES (%s, %s)", (VERSION, prefix))
            return VERSION
        _refuse_others(url, int(found[0]), str(found[1]), prefix)
        for version in range(int(found[0]), VERSION):
            connection.execute(migrations[version])
            connection.execute("UPDATE riskgate_schema SET version = %s", (version + 1,))
    return VERSION


def check(connection: Session, url: str, prefix: str) -> None:
    """Refuse a database that this release cannot read or write.

    Raises: CannotStart naming the repair.
    """
    present = connection.execute("SELECT to_regclass('riskgate_schema') IS NOT NULL").fetchone()
    found = connection.execute("SELECT version, prefix FROM riskgate_schema").fetchone() if present == (True,) else None
    if found is None:
        raise CannotStart(
            f"The database {place_of(url)} holds no tables of riskgate yet.", "Create them: python -m serving migrate"
        )
    _refuse_others(url, int(found[0]), str(found[1]), prefix)
    if found[0] < VERSION:
        raise CannotStart(
            f"The tables in {place_of(url)} have schema version {found[0]}; this release needs {VERSION}.",
            "Stop the older release, then migrate them: python -m serving migrate",
        )


def _refuse_others(url: str, version: int, prefix: str, ours: str) -> None:
    if version > VERSION:
        raise CannotStart(
            f"The tables in {place_of(url)} have schema version {version}; this release knows {VERSION}.",
            "Deploy the release that created them, or a newer one.",
        )
    if prefix != ours:
        raise CannotStart(
            f"The ledger in {place_of(url)} belongs to the Redis prefix `{prefix}`, not to `{ours}`.",
            "Set RISKGATE_REDIS_PREFIX to it, or give this service a database of its own.",
        )
