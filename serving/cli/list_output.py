"""What `list show` writes: a table for people, or one JSON object a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import typer
from rich.table import Table

from serving.api.list_schemas import list_entry
from serving.lists.book import ListBook
from serving.lists.entry import BEGIN, Entry
from serving.output import counted, print_table


def write_table(entries: Sequence[Entry], now_ms: int, hide: Callable[[str], str]) -> None:
    """Write entries to standard output for people."""
    table = Table("list", "kind", "value", "reason", "author", "added", "expires", box=None)
    for one in entries:
        expires = "never" if one.expires_at_ms is None else _minute(one.expires_at_ms)
        expires += "" if one.holds_at(now_ms) else " (expired)"
        row = (one.list, one.kind, one.value, one.reason, hide(one.author), _minute(one.created_at_ms), expires)
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    print_table(table)


def write_json(entries: Sequence[Entry], now_ms: int, hide: Callable[[str], str]) -> None:
    """Write entries to standard output as `GET /v1/lists` gives them, one a line, each with its list."""
    for one in entries:
        fields = msgspec.structs.asdict(list_entry(one, now_ms, hide))
        typer.echo(msgspec.json.encode({"list": one.list, **fields}).decode())


def counts_of(book: ListBook, names: Sequence[str], now_ms: int) -> str:
    """How many entries each list holds, and how many of them have expired."""
    found = []
    for name in names:
        over = sum(not one.holds_at(now_ms) for one in entries_on(book, name))
        found.append(f"{book.counts[name]:,} on {name}" + (f" ({over:,} expired)" if over else ""))
    return ", ".join(found)


def matches(shown: int, found: int) -> str:
    """How many of the entries that match are shown.

    >>> matches(1, 1), matches(100, 2000)
    ('1 of 1 entry that matches', '100 of 2,000 entries that match')
    """
    return f"{shown:,} of {counted(found, 'entry that matches', 'entries that match')}"


def entries_on(book: ListBook, name: str, kind: str | None = None) -> list[Entry]:
    """Every entry of one list, or of one kind on it, in the order in which they were added."""
    found: list[Entry] = []
    after = BEGIN
    while True:
        entries, then = book.page(name, after, 10_000, kind)
        found += entries
        if then is None:
            return found
        after = then


def _minute(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
