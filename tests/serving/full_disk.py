"""A disk without room for the ledger, made by a limit of this process."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def full_disk(ledger: Path) -> Iterator[None]:
    """No file of this process grows beyond the length of the ledger's WAL, so that no commit can be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    length = ledger.with_name(f"{ledger.name}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
