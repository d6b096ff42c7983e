"""Reads the ledger in PostgreSQL: the same queries and rows as the embedded ledger."""

from __future__ import annotations

from serving.ledger.postgres import schema
from serving.ledger.postgres.session import STATEMENT_SECONDS, PostgresReader, first_session
from serving.ledger.reader import LedgerReader
from serving.settings import Settings


class PostgresLedger(LedgerReader):
    """Reads what the recorder has recorded; the query after a lost connection reconnects.

    Every query may raise LedgerUnavailable.
    """

    def __init__(
        self, settings: Settings, name: str = "riskgate-reader", statement_seconds: int = STATEMENT_SECONDS
    ) -> None:
        """Connect, and refuse tables that this release does not know; `statement_seconds` 0: no time-out.

        Raises: CannotStart.
        """
        with first_session(settings.postgres_url, name) as session:
            schema.check(session, settings.postgres_url, settings.redis_prefix)
        self._connection: PostgresReader = PostgresReader(settings.postgres_url, name, statement_seconds)
