"""The wrong lines of a file: open quotes take no other line with them, and what is refused can be corrected."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from features.intake.card_numbers import holds_card_number
from features.intake.tokens import Tokens
from serving.cli import lists as commands
from serving.lists.csv_file import MOST_LINES, ListFile, WrongLine, open_text, write_refused
from serving.lists.entry import NewEntry
from serving.lists.values import EntryReader

NOW_MS = 1_800_000_000_000
HEAD = b"kind,value,reason\n"
CARD = "4111 1111 1111 1111"
TOKENS = EntryReader(None, Tokens("a secret of thirty-two characters").replace)


def read(path: Path, reader: EntryReader = TOKENS) -> tuple[list[str], list[NewEntry], list[WrongLine]]:
    with open_text(path) as text:
        file = ListFile(text, path.name)
        found = list(file.entries(reader, NOW_MS))
    wrong = [one for one in found if isinstance(one, WrongLine)]
    return file.columns, [one for one in found if isinstance(one, NewEntry)], wrong


def refused_rows(path: Path, reader: EntryReader = TOKENS) -> list[list[str]]:
    columns, _, wrong = read(path, reader)
    refused = path.with_name(f"{path.name}.refused.csv")
    write_refused(refused, columns, wrong)
    with refused.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        return list(csv.reader(text))


def test_an_open_quote_refuses_its_own_line_and_no_other(tmp_path: Path) -> None:
    lines = [f"payee,m-{number},seen".encode() for number in range(20_000)]
    lines[1] = b'payee,q-2,"open'
    lines[8_262] = b'payee,m-q,"a reason, quoted"'
    file = tmp_path / "a.csv"
    file.write_bytes(HEAD + b"\n".join(lines) + b"\n")
    _, entries, wrong = read(file)
    assert [(one.first, one.last) for one in wrong] == [(3, 3)] and "not closed" in wrong[0].sentence()
    assert len(entries) == 19_999 and NewEntry("payee", "m-q", "a reason, quoted") in entries


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'payee,m-1,seen\npayee,"m-x', 3),
        (b'payee,m-1,seen\npayee,m-x,"seen', 3),
        (b'payee,"m-x\npayee,m-1,seen\n', 2),
        (b'payee,"m-x,seen\npayee,m-1,seen\npayee,m-2,"seen"\n', 2),
    ],
)
def test_an_open_quote_is_named_where_it_begins_and_adds_nothing(tmp_path: Path, content: bytes, line: int) -> None:
    (tmp_path / "a.csv").write_bytes(HEAD + content)
    _, entries, wrong = read(tmp_path / "a.csv")
    assert [one.first for one in wrong] == [line]
    assert [one.value for one in entries] == ["m-1", "m-2"][: len(entries)] and entries


def test_a_quoted_field_may_hold_line_breaks_and_a_wrong_one_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(HEAD + b'payee,"m-1\n","seen\r\n"\npayee,m-2,"two\nlines"\npayee,m-3,seen\n')
    _, entries, wrong = read(file)
    assert [one.value for one in entries] == ["m-1", "m-3"]
    assert wrong[0].sentence().startswith("lines 5 to 6, one record: reason")
    assert refused_rows(file)[1][2:] == ["payee", "m-2", "two\nlines"]


def test_a_record_of_too_many_lines_is_an_open_quote(tmp_path: Path) -> None:
    breaks = b"\n" * MOST_LINES
    (tmp_path / "a.csv").write_bytes(HEAD + b'payee,"m-1' + breaks + b'",seen\npayee,m-2,seen\n')
    _, entries, wrong = read(tmp_path / "a.csv")
    assert [one.value for one in entries] == ["m-2"] and wrong[0].first == 2


def test_the_refused_file_has_the_input_s_columns_and_can_be_corrected_and_imported(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        b"Value,kind,reason,expires_at\nx, planet,Seen ,2030-01-01\nu-1,payer,seen,soon\nu-2,payer,a,b,c,d\n"
        b'u-3,payer,"open\nu-\xe9,payer,seen,\n'
    )
    rows = refused_rows(file)
    assert rows[0] == ["line", "problem", "value", "kind", "reason", "expires_at"]
    assert [[row[0], *row[2:]] for row in rows[1:]] == [
        ["2", "x", " planet", "Seen ", "2030-01-01"],
        ["3", "u-1", "payer", "seen", "soon"],
        ["4", "u-2", "payer", "a", "b", "c", "d"],
        ["5", "u-3", "payer", '"open'],
        ["6", "u-\udce9", "payer", "seen", ""],
    ]
    refused = tmp_path / "a.csv.refused.csv"
    again = refused_rows(refused)
    assert [row[2:] for row in again] == [row[2:] for row in rows]  # not corrected: not one of them is an entry
    text = refused.read_bytes().replace(b" planet", b"payee").replace(b"soon", b"2099-01-01").replace(b",c,d", b"")
    refused.write_bytes(text.replace(b'"""open"', b"open").replace(b"\xe9", b"e").replace(b",a,b", b",a,"))
    _, entries, wrong = read(refused)
    assert not wrong and [one.value for one in entries] == ["x", "u-1", "u-2", "u-3", "u-e"]


@pytest.mark.parametrize("reader", [TOKENS, EntryReader()], ids=["tokens", "no key"])
@pytest.mark.parametrize(
    "line",
    [
        f"instrument,{CARD},seen,soon",
        f"payee,m-1,{CARD},soon",
        f"{CARD},m-1,seen,",
        f"payee,m-1,seen,{CARD}",
        f"payee,m-1,seen,,{CARD}",
        f'instrument,"{CARD}',
        "payee,m-1,4111,1111,1111,1111",
    ],
)
def test_a_card_number_of_a_refused_line_is_not_written_in_clear(
    tmp_path: Path, reader: EntryReader, line: str
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"kind,value,reason,expires_at\n{line}\n")
    rows = refused_rows(file, reader)
    assert len(rows) == 2
    assert not holds_card_number((tmp_path / "a.csv.refused.csv").read_text())
    assert not holds_card_number(" ".join(rows[1])) and ("pan_b" in " ".join(rows[1])) == (reader is TOKENS)


def test_a_refused_file_of_an_earlier_import_is_named_as_such(tmp_path: Path, var: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("kind,value,reason\nplanet,x,seen\n")
    run = CliRunner().invoke
    done = run(commands.list_app, ["import", str(file)])
    assert done.exit_code == 1 and "1 line is wrong; it is in" in done.output
    file.write_text("kind,value,reason\npayee,x,seen\n")
    done = run(commands.list_app, ["import", str(file)])
    assert done.exit_code == 0 and "1 entry was added" in done.output
    assert "a.csv.refused.csv is from an import before this one" in done.output
