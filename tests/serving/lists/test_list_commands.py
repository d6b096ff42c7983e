"""What the commands of lists write: authors without card numbers, whole values, and refusals in one sentence."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from typer.testing import CliRunner, Result

from features.intake.card_numbers import holds_card_number
from features.intake.tokens import Tokens
from serving.access.api_keys import InvalidKeys, new_key
from serving.api.handlers import Request
from serving.api.list_handlers import ListHandlers
from serving.cli import lists as commands
from serving.lists.book import ListBook
from serving.lists.entry import Change
from serving.lists.values import EntryReader, Unfit
from tests.serving.lists.test_import import NOW_MS

CARD = "4111-1111-1111-1111"
TOKENS = EntryReader(None, Tokens("a secret of thirty-two characters").replace)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands.list_app, list(arguments))


def add(kind: str, value: str, *more: str) -> None:
    done = run("add", kind, value, "--reason", "seen", *more)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", ["", " ", "bundle", "a" * 65, "a\nb", "a\x00", " ".join([CARD] * 3)])
def test_an_author_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Unfit):
        TOKENS.author(name)


def test_a_card_number_as_the_user_of_the_machine_becomes_a_token(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "user_name", lambda: CARD)
    add("payee", "m-1")
    assert "pan_" in run("show").output and not holds_card_number(run("show").output)
    with pytest.raises(Unfit, match="card number"):
        EntryReader().author(CARD)


def test_a_key_whose_id_is_a_card_number_is_no_author_in_clear() -> None:
    changes: list[Change] = []

    async def change(one: Change) -> tuple[str, ...]:
        changes.append(one)
        return ()

    async def read(request: Request, limit_bytes: int) -> bytes:
        return b'{"entries": [{"kind": "payee", "value": "m-1", "reason": "seen"}]}'

    lists = SimpleNamespace(book=ListBook(), reader=TOKENS, now_ms=lambda: NOW_MS, change=change)
    runtime = SimpleNamespace(lists=lists, settings=SimpleNamespace(batch_limit_bytes=1_000))
    handlers = ListHandlers(cast("Any", SimpleNamespace(engine=lambda: (runtime, None))), read)
    request = SimpleNamespace(path="/v1/lists/block", caller=SimpleNamespace(id=CARD))
    asyncio.run(handlers.add(cast("Any", request)))
    assert changes[0].author.startswith("pan_b")
    for name, note in ((CARD, ""), ("till", CARD)):
        with pytest.raises(InvalidKeys, match="card number"):
            new_key(name, ("admin",), datetime.now(UTC), note=note)


def test_values_are_shown_whole_where_the_output_is_no_terminal(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    add("ip", "2001:db8:1234:5678:9abc:def0:1234:5678", "--author", "a" * 60)
    add("payee", "m" * 128)
    shown = run("show").stdout
    assert "2001:db8:1234:5678:9abc:def0:1234:5678" in shown and "m" * 128 in shown and "a" * 60 in shown


def test_json_lines_are_whole_and_one_per_entry(var: Path) -> None:
    for number in (101, 102):
        add("payee", f"m-[{number}]")
    lines = [msgspec.json.decode(one) for one in run("show", "--json").stdout.splitlines()]
    assert [(one["list"], one["value"], one["expired"]) for one in lines] == [
        ("block", "m-[101]", False),
        ("block", "m-[102]", False),
    ]
    assert set(lines[0]) == {"list", "kind", "value", "reason", "author", "created_at", "expires_at", "expired"}


def test_counts_are_sentences_and_unknown_kinds_are_refused(var: Path) -> None:
    add("payee", "m-1")
    assert "1 of 1 entry that matches; in all 1 on block, 0 on allow, 0 on watch." in run("show").output
    refused = run("show", "--kind", "card")
    assert refused.exit_code == 2 and "kind: is no kind of entry. Send one of" in refused.output


def test_expired_entries_are_counted_and_named(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("payee", "m-1", "--expires", "1h")
    add("payee", "m-2")
    assert "expired" not in run("show").output
    monkeypatch.setattr(commands, "_now_ms", lambda: (int(time.time()) + 3_601) * 1000)
    assert "(expired)" in run("show").stdout
    assert "in all 2 on block (1 expired), 0 on allow" in run("show").stderr


@pytest.mark.parametrize("text", ["soon", "99999999999d", "99999d", "2001-01-01", "2027-01-31T00:00:00", "-1d", "0h"])
def test_a_wrong_expiry_names_the_forms(var: Path, text: str) -> None:
    done = run("add", "payee", "m-1", "--reason", "seen", f"--expires={text}")
    assert done.exit_code == 2
    assert all(form in done.output for form in ("--expires", "12h", "30d", "RFC 3339", "2027-01-31T00:00:00Z"))


def test_what_is_not_on_a_list_is_named_with_its_stored_value(var: Path) -> None:
    assert "payee m-9 is not on the block list." in run("remove", "payee", " m-9 ").output
    done = run("remove", "payee", CARD).output
    assert "payee pan_" in done and not holds_card_number(done)


def test_a_text_says_whether_it_is_too_long_or_not_printable() -> None:
    for value, sentence in (
        ("m" * 129, "value: has 129 characters, 128 are possible. Send a shorter text."),
        ("m-\x07", "value: is not printable: character 3 is U+0007. Leave that character out."),
    ):
        with pytest.raises(Unfit) as refused:
            TOKENS.value("payee", value)
        assert refused.value.problem.sentence() == sentence


def test_a_file_that_cannot_be_read_is_refused_with_a_repair(var: Path, tmp_path: Path) -> None:
    for name, why in (("absent.csv", "No such file or directory"), (".", "Is a directory")):
        done = run("import", str(tmp_path / name))
        assert done.exit_code == 2 and f"cannot be read: {why}. Name a CSV file." in done.output
    (tmp_path / "empty.csv").touch()
    assert (
        "The file empty.csv is empty. Name the columns in its first line"
        in run("import", str(tmp_path / "empty.csv")).output
    )
    assert not var.exists()
