"""The cases of the embedded profile, in the SQLite file of the ledger."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from serving.cases import cases, queries


class SqliteCases:
    """The cases in the SQLite file of the ledger; each task has a connection of its own."""

    def __init__(self, path: Path, *, busy_seconds: float = queries.BUSY_SECONDS) -> None:
        """`busy_seconds` is how long a statement waits for a ledger that another process holds."""
        self._path = path
        self._busy_seconds = busy_seconds

    def opened(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection, closed at the end of the block.

        Raises: LedgerUnavailable.
        """
        return queries.opened(self._path, self._busy_seconds)

    def resolve(self, connection: sqlite3.Connection, **verdict: Any) -> int:
        """Append a verdict and close its case, both or neither; see `cases.resolve`."""
        return cases.resolve(connection, **verdict)
