"""Opens the ledger of the settings for reading: the SQLite file or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import CannotStart
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import Settings


@contextmanager
def opened(settings: Settings) -> Iterator[LedgerReader]:
    """The ledger, closed at the end of the block.

    Raises: CannotStart when there is none.
    """
    ledger = _ledger(settings)
    try:
        yield ledger
    finally:
        ledger.release()


def _ledger(settings: Settings) -> LedgerReader:
    if settings.production:
        # Imported here: the embedded profile needs no PostgreSQL driver.
        from serving.ledger.postgres.ledger import PostgresLedger

        return PostgresLedger(settings, "riskgate-command", statement_seconds=0)
    if not settings.ledger_path.exists():
        raise CannotStart(f"There is no ledger in {settings.var}.", "Set RISKGATE_VAR to the folder of the service.")
    return Ledger(settings.ledger_path, read_only=True)
