"""Reads entries from a CSV file, of which some lines may be wrong: each is named, and none stops the others.

A quoted field may hold line breaks. A quote that is not closed would take the rest of the file for one field: such a
line is refused by itself, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from features.errors import RiskgateError
from features.intake.card_numbers import holds_card_number, mask_card_numbers
from serving.lists.entry import NewEntry
from serving.lists.values import EntryReader, Unfit

COLUMNS = ("kind", "value", "reason", "expires_at")
#: What the refused file says of a line, so that a corrected one can be imported as it is.
ADDED_COLUMNS = ("line", "problem")
#: Lines of one record: an entry's fields have at most 200 characters, so a longer one is an open quote.
MOST_LINES = 50
_REPAIR = f"Name the columns in its first line: {','.join(COLUMNS)} (the last two may be absent)."
_OPEN_QUOTE = 'begins a quoted field that is not closed. Close the quote, or write "" for each quote that is meant.'


class InvalidFile(RiskgateError):
    """A file that is no CSV of entries at all."""


class Record(NamedTuple):
    """A record: its cells, the numbers of its first and last line, and what is wrong with its form ("": nothing)."""

    cells: list[str]
    first: int
    last: int
    problem: str = ""


class WrongLine(NamedTuple):
    """A line that is no entry: where it begins and ends in the file, its cells as written, and why it is refused."""

    first: int
    last: int
    cells: list[str]
    problem: str

    def sentence(self) -> str:
        """The line in a report, without the value."""
        where = f"line {self.first}" if self.first == self.last else f"lines {self.first} to {self.last}, one record"
        return f"{where}: {self.problem}"


class Defaults(NamedTuple):
    """What a line without an own value gets."""

    reason: str = ""
    expires_at: str | None = None


class ListFile:
    """An open CSV file of entries; `columns` are those of its first line, in lower case.

    The first line names the columns: `kind` and `value`, and `reason` and `expires_at` if they are given. Commas,
    semicolons or tabs divide them.
    Raises: InvalidFile for a file without these columns.
    """

    def __init__(self, file: TextIO, name: str) -> None:
        head = file.readline()
        if not head.strip():
            raise InvalidFile(f"The file {name} is empty.", _REPAIR)
        if "\0" in head or _no_utf8(head):
            raise InvalidFile(f"The file {name} is not UTF-8: see its first line.", "Save the file as UTF-8.")
        self._delimiter = max(",;\t", key=head.count)
        self.columns = [one.strip().lower() for one in next(csv.reader([head], delimiter=self._delimiter))]
        unknown = [one for one in self.columns if one not in COLUMNS + ADDED_COLUMNS]
        if unknown or len(set(self.columns)) != len(self.columns) or not {"kind", "value"} <= set(self.columns):
            raise InvalidFile(f"The file {name} does not have the columns of a list.", _REPAIR)
        self._file = file

    def entries(
        self, reader: EntryReader, now_ms: int, defaults: Defaults = Defaults()
    ) -> Iterator[NewEntry | WrongLine]:
        """Each line of the file as an entry, or why it is none; one record in memory."""
        for record in self._records():
            if any(cell.strip() for cell in record.cells):
                yield self._entry(record, reader, now_ms, defaults)

    def _records(self) -> Iterator[Record]:
        lines = _Lines(self._file)
        while True:
            lines.begin()
            first = lines.number + 1
            problem, cells = "", list[str]()
            try:
                cells = next(csv.reader(lines, delimiter=self._delimiter))
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"is no line of CSV ({error})."
            if lines.ended or (len(lines.taken) > 1 and (problem or not self._is_strict(lines.taken))):
                problem = _OPEN_QUOTE
            if problem:
                line = lines.give_back_all_but_one()
                cells = line.rstrip("\r\n").split(self._delimiter)
            yield Record(cells, first, lines.number, problem)

    def _is_strict(self, lines: list[str]) -> bool:
        """Whether quotes stand only around whole fields: else a quote of a later line has closed an open one."""
        try:
            next(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return False
        return True

    def _entry(self, record: Record, reader: EntryReader, now_ms: int, defaults: Defaults) -> NewEntry | WrongLine:
        cells = record.cells
        named = dict(zip(self.columns, cells, strict=False))
        problem = record.problem or self._problem_of(cells, named)
        if not problem:
            kind = named.get("kind", "").strip().lower()
            try:
                return NewEntry(
                    kind,
                    reader.value(kind, named.get("value", "")),
                    reader.reason(named.get("reason", "").strip() or defaults.reason),
                    reader.expiry(named.get("expires_at", "").strip() or defaults.expires_at, now_ms),
                )
            except Unfit as unfit:
                problem = unfit.problem.sentence()
        shown = [cell for place, cell in enumerate(cells) if self.columns[place : place + 1] not in _ADDED]
        return WrongLine(record.first, record.last, _without_card_numbers(shown, reader.hide), problem)

    def _problem_of(self, cells: list[str], named: dict[str, str]) -> str:
        """What is wrong with the form of a row that can be read as CSV."""
        if len(cells) > len(self.columns):
            return f"has {len(cells)} cells, the first line names {len(self.columns)}."
        for name in COLUMNS:
            cell = named.get(name, "")
            if cell.startswith('"') and cell.count('"') % 2:  # a line of a refused file, not corrected yet
                return f"{name}: {_OPEN_QUOTE}"
            if (found := _no_utf8(cell)) is not None:
                return f"{name}: is not UTF-8 (byte 0x{found[1]:02X}, character {found[0]}). Save the file as UTF-8."
        return ""


_ADDED = [[name] for name in ADDED_COLUMNS]


class _Lines(Iterator[str]):
    """The lines of a file, of which some may be given back; `ended` says that a record asked for more than it got."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._given_back: deque[str] = deque()
        self.number = 1
        self.taken: list[str] = []
        self.ended = False

    def begin(self) -> None:
        """Begin a record."""
        self.taken, self.ended = [], False

    def __next__(self) -> str:
        line = ""
        if len(self.taken) < MOST_LINES:
            line = self._given_back.popleft() if self._given_back else self._file.readline()
        if not line:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        self.number += 1
        return line

    def give_back_all_but_one(self) -> str:
        """The first line of the record; the others are read again."""
        first, *others = self.taken
        self._given_back.extendleft(reversed(others))
        self.number -= len(others)
        return first


def open_text(path: Path) -> TextIO:
    """The file; bytes that are no UTF-8 are kept, so that a refused line is written as it was.

    Raises: InvalidFile for one that cannot be opened.
    """
    try:
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        name = mask_card_numbers(str(path))
        raise InvalidFile(f"The file {name} cannot be read: {error.strerror}.", "Name a CSV file.") from error


def write_refused(path: Path, columns: list[str], lines: list[WrongLine]) -> None:
    """Write the refused lines as CSV with the columns of the input: corrected, the file can be imported.

    Raises: OSError.
    """
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*ADDED_COLUMNS, *(one for one in columns if one not in ADDED_COLUMNS)))
        writer.writerows((line.first, line.problem, *line.cells) for line in lines)


def _without_card_numbers(cells: list[str], hide: Callable[[str], str]) -> list[str]:
    """The cells without clear card numbers; one cell where a number is spread over several."""
    hidden = [hide(cell) for cell in cells]
    row = ",".join(hidden)
    return [hide(row)] if holds_card_number(row) else hidden


def _no_utf8(text: str) -> tuple[int, int] | None:
    """The place (from 1) and the value of the first byte that is not UTF-8; None if there is none."""
    return next(((place, ord(one) - 0xDC00) for place, one in enumerate(text, 1) if "\udc80" <= one <= "\udcff"), None)
