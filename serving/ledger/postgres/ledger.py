"""The ledger in PostgreSQL, read: the same questions and the same rows as the embedded one."""

from __future__ import annotations

from serving.ledger.postgres import schema
from serving.ledger.postgres.session import STATEMENT_SECONDS, Database, first_session
from serving.ledger.reader import LedgerReading
from serving.settings import Settings


class PostgresLedger(LedgerReading):
    """Reads what the recorder has recorded; a lost connection is made anew by the next question.

    Any question may raise LedgerUnavailable.
    """

    def __init__(
        self, settings: Settings, name: str = "riskgate-reader", statement_seconds: int = STATEMENT_SECONDS
    ) -> None:
        """Connect, and refuse tables that this release does not know; 0 lets a question take as long as it likes.

        Raises: CannotStart.
        """
        with first_session(settings.postgres_url, name) as session:
            schema.check(session, settings.postgres_url, settings.redis_prefix)
        self._connection: Database = Database(settings.postgres_url, name, statement_seconds)
