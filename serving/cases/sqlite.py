"""The desk's way to the ledger of the embedded profile: the SQLite file that the service keeps."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from serving.cases import cases, queries


class FileCases:
    """The cases beside the ledger in one file; each task has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def opened(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for the time of one task.

        Raises: LedgerUnavailable.
        """
        return queries.opened(self._path)

    def resolve(self, connection: sqlite3.Connection, **verdict: Any) -> int:
        """Append a verdict and close its case, both or neither; see `serving.cases.resolve`."""
        return cases.resolve(connection, **verdict)
