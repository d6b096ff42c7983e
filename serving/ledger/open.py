"""The ledger of this installation, to be read: the SQLite file or PostgreSQL, as the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import CannotStart
from serving.ledger.reader import LedgerReading
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import Settings


@contextmanager
def opened(settings: Settings) -> Iterator[LedgerReading]:
    """The ledger for the time of one task.

    Raises: CannotStart when there is none.
    """
    ledger = _ledger(settings)
    try:
        yield ledger
    finally:
        ledger.release()


def _ledger(settings: Settings) -> LedgerReading:
    if settings.production:
        # Only here: the embedded profile needs no driver of a server.
        from serving.ledger.postgres.ledger import PostgresLedger

        return PostgresLedger(settings, "riskgate-command", statement_seconds=0)
    if not settings.ledger_path.exists():
        raise CannotStart(f"There is no ledger in {settings.var}.", "Set RISKGATE_VAR to the folder of the service.")
    return Ledger(settings.ledger_path, read_only=True)
