"""The commands of block, allow and watch lists: `list add`, `list remove`, `list show`, `list import`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from features.command_line import Commands
from features.domain.payment_fields import LAST_YEAR
from features.intake.card_numbers import mask_card_numbers
from features.intake.normalise import plain_text
from features.progress import waiting
from serving.access.api_keys import user_name
from serving.cli.list_output import counts_of, entries_on, matches, write_json, write_table
from serving.decision.rules import LISTS
from serving.errors import CannotStart, UnknownList
from serving.lists.csv_file import Defaults, ListFile, WrongLine, open_text, write_refused
from serving.lists.entry import ADD, KINDS, MOST_IN_EVENT, REMOVE, Change, NewEntry, changes
from serving.lists.values import Unfit, known_kind
from serving.lists.writer import ListWriter, opened
from serving.output import counted, out
from serving.settings import read_settings

list_app = typer.Typer(cls=Commands, no_args_is_help=True, help="Block, allow and watch lists of a running service.")

ListName = Annotated[str, typer.Option("--list", help=f"One of {', '.join(LISTS)}.")]
Kind = Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")]
Author = Annotated[str | None, typer.Option(help="Who does it; default: the user of this machine.")]
Expires = Annotated[
    str | None, typer.Option(help="When it ends: RFC 3339, a day such as 2027-01-31, or 12h, 30d; without: never.")
]
_FROM_NOW = re.compile(r"([0-9]{1,5})([hd])")
_SHOWN_LINES, _SHOWN_ENTRIES = 10, 100
_EXPIRES_REPAIR = (
    "Pass hours or days from now (12h, 30d; at most 99999), RFC 3339 with an offset (2027-01-31T00:00:00Z), or a day "
    f"(2027-01-31, 0:00 UTC); years before {LAST_YEAR}."
)
_IN_FORCE = "In force in every worker within two seconds."


@list_app.command("add")
def add(
    kind: Kind,
    value: Annotated[str, typer.Argument(help="An id, address, network (CIDR), country or category code.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger and in `list show`.")],
    name: ListName = "block",
    expires: Expires = None,
    author: Author = None,
) -> None:
    """Add one entry, or replace the one of the same kind and value; the service may run meanwhile."""
    _check(name)
    with opened(read_settings()) as lists:
        given = {"kind": kind, "value": value, "reason": reason, "expires_at": _moment(expires, lists)}
        entry = lists.reader.entry(given, _now_ms())
        lists.write(Change(name, ADD, _author(author, lists), (entry,)))
    out.print(f"{entry.kind} {entry.value} is on the {name} list. {_IN_FORCE}", markup=False)


@list_app.command("remove")
def remove(
    kind: Kind,
    value: Annotated[str, typer.Argument(help="The value as it was added, in any spelling.")],
    name: ListName = "block",
    reason: Annotated[str, typer.Option(help="Why it is removed.")] = "",
    author: Author = None,
) -> None:
    """Remove one entry."""
    _check(name)
    with opened(read_settings()) as lists:
        entry = lists.reader.entry({"kind": kind, "value": value}, _now_ms(), to_remove=True)
        why = lists.reader.reason(reason) if reason else ""
        if lists.book().entry(name, entry.kind, entry.value) is None:
            raise CannotStart(
                f"{entry.kind} {entry.value} is not on the {name} list.", "See `python -m serving list show`."
            )
        lists.write(Change(name, REMOVE, _author(author, lists), (entry,), why))
    out.print(f"{entry.kind} {entry.value} is off the {name} list. {_IN_FORCE}", markup=False)


@list_app.command("show")
def show(
    name: Annotated[str | None, typer.Option("--list", help=f"One of {', '.join(LISTS)}; without: all.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind.")] = None,
    value: Annotated[str | None, typer.Option(help="Only this value, in any spelling; needs --kind.")] = None,
    author: Annotated[str | None, typer.Option(help="Only entries of this author.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many to show, newest last; without: 100, with --json all.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with the fields of GET /v1/lists and the list.")
    ] = False,
) -> None:
    """Show entries, with how many there are."""
    if name is not None:
        _check(name)
    if value is not None and kind is None:
        raise CannotStart("--value is given without --kind.", f"Pass --kind, one of {', '.join(KINDS)}.")
    if kind is not None:
        known_kind(kind)
    names = LISTS if name is None else (name,)
    with opened(read_settings()) as lists, waiting(out, "reading the lists"):
        book, hide = lists.book(), lists.reader.hide
        if value is not None:
            wanted = lists.reader.entry({"kind": kind, "value": value}, _now_ms(), to_remove=True)
            found = [one for each in names if (one := book.entry(each, wanted.kind, wanted.value)) is not None]
        else:
            found = [one for each in names for one in entries_on(book, each, kind)]
        if author is not None:
            found = [one for one in found if hide(one.author) == hide(plain_text(author))]
    shown = found if limit is None and as_json else found[-(limit or _SHOWN_ENTRIES) :]
    now_ms = _now_ms()
    (write_json if as_json else write_table)(shown, now_ms, hide)
    out.print(f"{matches(len(shown), len(found))}; in all {counts_of(book, names, now_ms)}.", markup=False)


@list_app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV with the columns kind,value,reason,expires_at.")],
    name: ListName = "block",
    reason: Annotated[str, typer.Option(help="For lines without a reason.")] = "",
    expires: Expires = None,
    author: Author = None,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Add nothing if a line is wrong; default: the others are added.")
    ] = False,
) -> None:
    """Add the entries of a CSV file; wrong lines are named, and written beside it as FILE.refused.csv."""
    _check(name)
    wrong, kept, added = list[WrongLine](), list[NewEntry](), 0
    shown_name = mask_card_numbers(file.name)
    with open_text(file) as text:
        source = ListFile(text, shown_name)
        with opened(read_settings()) as lists, waiting(out, f"importing {shown_name}"):
            who = _author(author, lists)
            for one in source.entries(lists.reader, _now_ms(), Defaults(reason, _moment(expires, lists))):
                if isinstance(one, WrongLine):
                    wrong.append(one)
                    continue
                kept.append(one)
                if len(kept) == MOST_IN_EVENT and not all_or_nothing:
                    lists.write(Change(name, ADD, who, tuple(kept)))
                    added, kept = added + len(kept), []
            if not (all_or_nothing and wrong):
                for change in changes(name, ADD, who, kept):
                    lists.write(change)
                    added += len(change.entries)
    were = counted(added, "entry was", "entries were")
    out.print(f"{were} added to the {name} list. {_IN_FORCE if added else ''}".rstrip(), markup=False)
    if _refused_lines(file, source.columns, wrong):
        raise typer.Exit(1)


def _refused_lines(file: Path, columns: list[str], wrong: list[WrongLine]) -> bool:
    """Name the wrong lines of a file and write them beside it; whether there are any.

    Raises: OSError.
    """
    refused = file.with_name(f"{file.name}.refused.csv")
    shown = mask_card_numbers(str(refused))
    if not wrong:
        if refused.exists():
            out.print(f"No line is wrong: {shown} is from an import before this one. Delete it.", markup=False)
        return False
    for line in wrong[:_SHOWN_LINES]:
        out.print(line.sentence(), style="yellow", markup=False)
    count = sum(line.last - line.first + 1 for line in wrong)
    lines = counted(count, "line is wrong; it is", "lines are wrong; all of them are")
    write_refused(refused, columns, wrong)
    out.print(f"{lines} in {shown}. Correct that file and import it.", markup=False)
    return True


def _check(name: str) -> None:
    if name not in LISTS:
        # The sentence does not repeat the name: it may hold a card number.
        raise UnknownList("There is no list of that name.", f"Pass --list with one of {', '.join(LISTS)}.")


def _author(given: str | None, lists: ListWriter) -> str:
    """Who makes a change, as the ledger keeps it."""
    return lists.reader.author(user_name() if given is None else given)


def _moment(text: str | None, lists: ListWriter) -> str | None:
    """A moment as `EntryReader` reads it; `30d` counts from now.

    Raises: CannotStart.
    """
    if text is None or not text.strip():
        return None
    from_now = _FROM_NOW.fullmatch(text.strip())
    if from_now is not None:
        hours = int(from_now[1]) * (24 if from_now[2] == "d" else 1)
        text = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    try:
        lists.reader.expiry(text, _now_ms())
    except Unfit as unfit:
        raise CannotStart(f"--expires {unfit.problem.message}", _EXPIRES_REPAIR) from None
    return text


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
