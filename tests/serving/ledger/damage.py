"""Damages the files of a real ledger for tests, as a failing disk does: bytes change and nothing says so."""

from __future__ import annotations

from pathlib import Path

from serving.ledger.sqlite.wal_preallocate import log_of

PAGE_BYTES = 4_096
WAL_HEADER_BYTES = 32
FRAME_BYTES = 24 + PAGE_BYTES


def flip(path: Path, at: int, count: int = 1) -> None:
    """Change `count` bytes of a file in place, all bits of each."""
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(count)
        file.seek(at)
        file.write(bytes(one ^ 0xFF for one in old))


def flip_pages(ledger: Path, begin: int, end: int) -> None:
    """Damage the heads of the pages `begin` to `end`, counted from 1 and without `end`."""
    for page in range(begin, end):
        flip(ledger, (page - 1) * PAGE_BYTES, 8)


def flip_frame(ledger: Path, frame: int) -> None:
    """Damage one byte of the page in a frame of the WAL, counted from 1."""
    flip(log_of(ledger), WAL_HEADER_BYTES + (frame - 1) * FRAME_BYTES + 2_000)


def frames(ledger: Path) -> int:
    """How many frames fit into the WAL."""
    return (log_of(ledger).stat().st_size - WAL_HEADER_BYTES) // FRAME_BYTES
