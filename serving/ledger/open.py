"""Opens a ledger for reading: the SQLite file or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import CannotStart
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.ledger import Ledger
from serving.store_config import LedgerConfig


@contextmanager
def opened(config: LedgerConfig) -> Iterator[LedgerReader]:
    """The ledger, closed at the end of the block.

    Raises: CannotStart when there is none.
    """
    ledger = _ledger(config)
    try:
        yield ledger
    finally:
        ledger.release()


def _ledger(config: LedgerConfig) -> LedgerReader:
    if config.postgres_url:
        # Imported here: the embedded profile needs no PostgreSQL driver.
        from serving.ledger.postgres.ledger import PostgresLedger

        return PostgresLedger(config, "riskgate-command", statement_seconds=0)
    if not config.sqlite.exists():
        raise CannotStart(f"There is no ledger in {config.var}.", "Set RISKGATE_VAR to the folder of the service.")
    return Ledger(config.sqlite, read_only=True)
