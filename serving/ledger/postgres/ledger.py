"""Reads the ledger in PostgreSQL: the same queries and rows as the embedded ledger."""

from __future__ import annotations

from serving.ledger.postgres import schema
from serving.ledger.postgres.session import STATEMENT_SECONDS, PostgresReader, first_session
from serving.ledger.reader import LedgerReader
from serving.store_config import LedgerConfig


class PostgresLedger(LedgerReader):
    """Reads what the recorder has recorded; the query after a lost connection reconnects.

    Every query may raise LedgerUnavailable.
    """

    def __init__(
        self, config: LedgerConfig, name: str = "riskgate-reader", statement_seconds: int = STATEMENT_SECONDS
    ) -> None:
        """Connect, and refuse tables that this release does not know; `statement_seconds` 0: no time-out.

        Raises: CannotStart.
        """
        url = config.postgres_url
        with first_session(url, name) as session:
            schema.check(session, url, config.redis_prefix)
        self._connection: PostgresReader = PostgresReader(url, name, statement_seconds)
