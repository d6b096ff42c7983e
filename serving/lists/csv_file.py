"""Reads entries from a CSV file, of which some lines may be wrong: each is named, and none stops the others."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from features.errors import RiskgateError
from serving.lists.entry import NewEntry
from serving.lists.values import EntryReader, Unfit

COLUMNS = ("kind", "value", "reason", "expires_at")
_REPAIR = f"Name them in its first line: {','.join(COLUMNS)}."


class InvalidFile(RiskgateError):
    """A file that is no CSV of entries at all."""


class WrongLine(NamedTuple):
    """A line that is no entry: its number in the file, what it names, and why it is refused."""

    number: int
    kind: str
    value: str
    problem: str

    def sentence(self) -> str:
        """The line in a report, without the value."""
        return f"line {self.number}: {self.problem}"


class Defaults(NamedTuple):
    """What a line without an own value gets."""

    reason: str = ""
    expires_at: str | None = None


def read_entries(
    path: Path, reader: EntryReader, now_ms: int, defaults: Defaults = Defaults()
) -> Iterator[NewEntry | WrongLine]:
    """Each line of the file as an entry, or why it is none; one line in memory.

    The first line names the columns: `kind` and `value`, and `reason` and `expires_at` if they are given. Commas,
    semicolons or tabs divide them.
    Raises: InvalidFile for a file without these columns; OSError.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        head = file.readline()
        if not head.strip():
            raise InvalidFile(f"{path.name} is empty.", _REPAIR)
        delimiter = max(",;\t", key=head.count)
        columns = [name.strip().lower() for name in next(csv.reader([head], delimiter=delimiter))]
        unknown = [name for name in columns if name not in COLUMNS]
        if unknown or len(set(columns)) != len(columns) or not {"kind", "value"} <= set(columns):
            raise InvalidFile(f"{path.name} does not have the columns of a list.", _REPAIR)
        rows = csv.reader(file, delimiter=delimiter)
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield WrongLine(rows.line_num + 1, "", "", f"is no line of CSV ({error}).")
                continue
            if cells and any(cell.strip() for cell in cells):
                yield _entry(cells, columns, rows.line_num + 1, reader, now_ms, defaults)


def _entry(
    cells: list[str], columns: list[str], number: int, reader: EntryReader, now_ms: int, defaults: Defaults
) -> NewEntry | WrongLine:
    named = dict(zip(columns, cells, strict=False))
    kind, value = named["kind"].strip().lower(), named.get("value", "")
    if len(cells) > len(columns):
        return WrongLine(number, kind, "", f"has {len(cells)} cells, the first line names {len(columns)}.")
    try:
        return NewEntry(
            kind,
            reader.value(kind, value),
            reader.reason(named.get("reason", "").strip() or defaults.reason),
            reader.expiry(named.get("expires_at", "").strip() or defaults.expires_at, now_ms),
        )
    except Unfit as unfit:
        found = unfit.problem
        # A refused card number is not written a second time.
        shown = "" if found.code == "card_number" else value
        return WrongLine(number, kind, shown, found.sentence())


def write_refused(path: Path, lines: list[WrongLine]) -> None:
    """Write the refused lines as CSV, for whoever corrects them.

    Raises: OSError.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "kind", "value", "problem"))
        writer.writerows(lines)
