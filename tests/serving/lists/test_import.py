"""A file of entries: wrong lines are named and stop nothing, or everything when that is asked for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli import lists as commands
from serving.ledger.sqlite.ledger import Ledger
from serving.lists.csv_file import InvalidFile, ListFile, WrongLine, open_text
from serving.lists.entry import MOST_IN_EVENT, NewEntry
from serving.lists.values import EntryReader

NOW_MS = 1_800_000_000_000


def read(path: Path, content: bytes) -> list[NewEntry | WrongLine]:
    path.write_bytes(content)
    with open_text(path) as text:
        return list(ListFile(text, path.name).entries(EntryReader(), NOW_MS))


def test_columns_may_stand_in_any_order_and_be_divided_by_semicolons_behind_a_byte_order_mark(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b'\xef\xbb\xbfValue;KIND;reason\r\n"u;1";Payer;seen\r\n\r\nuk;country;"a\nb"\r\n')
    assert found[0] == NewEntry("payer", "u;1", "seen")
    assert isinstance(found[1], WrongLine) and (found[1].first, found[1].last) == (
        4,
        5,
    )  # a reason of two lines is not printable


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"planet,x,seen,", "kind"),
        (b"payer,,seen,", "value"),
        (b"payer,u-1,,", "reason"),
        (b"payer,u-1,seen,2001-01-01", "passed"),
        (b"payer,u-1,seen,,,", "6 cells"),
        (b"payer", "value"),
        (b"payer,a\xff\xfe,seen,", "value: is not UTF-8 (byte 0xFF, character 2)"),
        (b"payer,a\x00b,seen,", ""),
        (b"instrument,4111 1111 1111 1111,seen,", "card number"),
        (b"payer," + b"x" * 200_000 + b",seen,", ""),
    ],
)
def test_a_wrong_line_is_named_and_the_next_one_is_read(tmp_path: Path, line: bytes, part: str) -> None:
    head, good = b"kind,value,reason,expires_at\n", b"\npayer,u-2,seen,\n"
    wrong, right = read(tmp_path / "a.csv", head + line + good)
    assert isinstance(wrong, WrongLine) and wrong.first == 2
    assert part in wrong.sentence() and "4111" not in wrong.sentence() + "".join(wrong.cells)
    assert right == NewEntry("payer", "u-2", "seen")


@pytest.mark.parametrize("content", [b"", b"\n", b"payer,u-1,seen\n", b"kind,value,colour\n", b"kind,kind,value\n"])
def test_a_file_that_is_no_list_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidFile, match="kind,value,reason,expires_at"):
        read(tmp_path / "a.csv", content)


def events(var: Path) -> int:
    ledger = Ledger(var / "ledger.sqlite", read_only=True)
    try:
        return len(ledger.of_kind("list"))
    finally:
        ledger.release()


def test_many_lines_become_few_events_and_the_same_file_again_changes_nothing(tmp_path: Path, var: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("kind,value\n" + "".join(f"payer,u-{number}\n" for number in range(2 * MOST_IN_EVENT + 1)))
    run = CliRunner().invoke
    assert run(commands.list_app, ["import", str(file), "--reason", "week 46"]).exit_code == 0
    assert events(var) == 3
    assert run(commands.list_app, ["import", str(file), "--reason", "week 46"]).exit_code == 0
    shown = run(commands.list_app, ["show", "--kind", "payer", "--limit", "2"])
    assert "u-1000" in shown.output
    found = run(commands.list_app, ["show", "--kind", "payer", "--value", " u-7 ", "--list", "block"])
    assert "u-7" in found.output and "week 46" in found.output


def test_all_or_nothing_writes_nothing_for_one_wrong_line(tmp_path: Path, var: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("kind,value\n" + "payer,u-1\n" * 600 + "planet,x\n")
    arguments = ["import", str(file), "--reason", "r", "--all-or-nothing"]
    assert CliRunner().invoke(commands.list_app, arguments).exit_code == 1
    assert events(var) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "payer", "u-1", "--reason", "r", "--list", "grey"],
        ["add", "payer", "u-1", "--reason", "r", "--author", "bundle"],
        ["add", "payer", "u-1", "--reason", "r", "--expires", "soon"],
        ["remove", "payer", "u-9"],
        ["show", "--value", "u-1"],
        ["import", "absent.csv"],
    ],
)
def test_a_wrong_command_ends_with_one_sentence(var: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(commands.list_app, arguments)
    assert done.exit_code in (2, 74) and done.exception.__class__ is SystemExit
    assert not var.exists() or events(var) == 0


def test_an_entry_may_last_for_days(var: Path) -> None:
    done = CliRunner().invoke(commands.list_app, ["add", "payer", "u-1", "--reason", "r", "--expires", "30d"])
    assert done.exit_code == 0
    ledger = Ledger(var / "ledger.sqlite", read_only=True)
    (event,) = ledger.of_kind("list")
    ledger.release()
    ends = int(event.body.split(b'"r",')[1].split(b"]")[0])
    assert abs(ends - (time.time() + 30 * 86_400) * 1000) < 60_000
