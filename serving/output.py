"""Output of commands: messages go to standard error, figures to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

out = Console(stderr=True, highlight=False, soft_wrap=True)

#: Columns of an output that is no terminal: more than any row has.
_WIDE = 10_000


def print_table(table: Table) -> None:
    """Write a table to standard output; no cell is cut off, whether that is a terminal or not."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=_WIDE)
    console.print(table)


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> counted(1, "line", "lines"), counted(1200, "line", "lines")
    ('1 line', '1,200 lines')
    """
    return f"{number:,} {one if number == 1 else many}"


def write_report(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON for people and machines; the folder is created if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2))
