"""The keys of card-number tokens in PostgreSQL: one row a version, shared by all workers of a database."""

from __future__ import annotations

import psycopg

from serving.errors import CannotStart
from serving.ledger.postgres.schema import LOCK
from serving.ledger.postgres.session import first_session, place_of

#: Made when it is first needed, outside the versions of the other tables: an older release runs beside it.
_TABLE = """
CREATE TABLE IF NOT EXISTS token_keys (
    version integer PRIMARY KEY,
    fingerprint text NOT NULL,
    secret text NOT NULL
)
"""

Row = tuple[int, str, str]  # version, fingerprint, secret (empty: in RISKGATE_HASH_KEY)


def keep(url: str, version: int, fingerprint: str, secret: str) -> list[Row]:
    """Keep a key unless there is one of that version or a newer one; returns all that are kept.

    Workers that start together agree: the first row stays.
    Raises: CannotStart for an unreachable server, or a user who may neither create nor fill the table.
    """
    with first_session(url, "riskgate-tokens") as session:
        try:
            with session.transaction():
                session.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                present = session.execute("SELECT to_regclass('token_keys') IS NOT NULL").fetchone()
                if present != (True,):
                    session.execute(_TABLE)
                session.execute(
                    "INSERT INTO token_keys (version, fingerprint, secret) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                    (version, fingerprint, secret),
                )
            return _rows(session)
        except psycopg.Error as error:
            raise CannotStart(
                f"The keys of card-number tokens in {place_of(url)} cannot be kept: {type(error).__name__}.",
                "Let the user of RISKGATE_POSTGRES_URL create the table token_keys, read it and insert into it.",
            ) from None


def rows(url: str) -> list[Row]:
    """The keys that are kept; none before the first worker.

    Raises: CannotStart for an unreachable server.
    """
    with first_session(url, "riskgate-tokens") as session:
        present = session.execute("SELECT to_regclass('token_keys') IS NOT NULL").fetchone()
        return _rows(session) if present == (True,) else []


def _rows(session: psycopg.Connection[Row]) -> list[Row]:
    return session.execute("SELECT version, fingerprint, secret FROM token_keys ORDER BY version").fetchall()
