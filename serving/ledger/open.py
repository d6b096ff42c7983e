"""Opens a ledger for reading: the SQLite file or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.errors import CannotStart, DamagedLedger
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.damage import check_pages, check_wal, damage_located
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.process_lock import is_served
from serving.store_config import LedgerConfig


@contextmanager
def opened(config: LedgerConfig, *, checked: bool = False) -> Iterator[LedgerReader]:
    """The ledger, closed at the end of the block; `checked` if a SQLite file is checked as a whole before.

    Raises: CannotStart when there is none, or when its file is damaged, with the damaged pages.
    """
    with damage_refused(config.sqlite):
        if not config.postgres_url:
            if checked or not is_served(config.var):  # the service watches the WAL of its own ledger
                check_wal(config.sqlite)
            if checked and config.sqlite.exists():
                check_pages(config.sqlite)
        ledger = _ledger(config)
        try:
            yield ledger
        finally:
            ledger.release()


@contextmanager
def damage_refused(path: Path) -> Iterator[None]:
    """Raises damage of a SQLite ledger that the block meets as CannotStart, with the damaged pages."""
    try:
        with damage_located(path):
            yield
    except DamagedLedger as error:
        raise CannotStart(error.message, error.repair) from error


def _ledger(config: LedgerConfig) -> LedgerReader:
    if config.postgres_url:
        # Imported here: the embedded profile needs no PostgreSQL driver.
        from serving.ledger.postgres.ledger import PostgresLedger

        return PostgresLedger(config, "riskgate-command", statement_seconds=0)
    if not config.sqlite.exists():
        raise CannotStart(f"There is no ledger in {config.var}.", "Set RISKGATE_VAR to the folder of the service.")
    return Ledger(config.sqlite, read_only=True)
