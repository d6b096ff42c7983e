"""A key file that cannot be read, or is none: one sentence, with a repair that repairs it."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from features.command_line import Commands
from serving.access.api_keys import InvalidKeys, KeyFile, new_key, user_name
from serving.access.authenticator import Authenticator
from serving.cli.keys import key_app
from serving.console.auth.users import InvalidUser, Users
from serving.errors import CannotStart


def key_file(folder: Path) -> Path:
    path = folder / "keys.json"
    key, _ = new_key("till", ("score",), datetime.now(UTC))
    KeyFile(path).add(key)
    return path


@pytest.mark.parametrize(
    "content", [b"", b"[", b"null", b"{}", b"\xff\xfe", b'[{"id": "\xff"}]', b"rg_till_abc"],
    ids=["empty", "cut", "null", "object", "UTF-16", "no UTF-8", "a token"],
)  # fmt: skip
def test_a_file_that_is_no_list_of_keys_is_one_sentence_with_a_repair_that_works(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(InvalidKeys) as refused:
        Authenticator(key_file=str(path))
    assert str(path) in refused.value.message
    assert "remove it and add the keys again" in refused.value.repair
    path.unlink()  # what the sentence says
    Authenticator(key_file=str(key_file(tmp_path)))


def refused_by_the_system(path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> InvalidKeys:
    def read_bytes(_: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(InvalidKeys) as refused:
        Authenticator(key_file=str(path))
    return refused.value


def test_a_file_of_another_user_names_who_must_be_able_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = key_file(tmp_path)
    if os.geteuid():
        path.chmod(0)
        with pytest.raises(InvalidKeys) as caught:
            Authenticator(key_file=str(path))
        error = caught.value
    else:  # root reads every file
        error = refused_by_the_system(path, errno.EACCES, monkeypatch)
    assert error.message == f"The key file {path} cannot be read: Permission denied."
    assert user_name() in error.repair
    assert "chmod 640" in error.repair


@pytest.mark.parametrize(
    ("option", "number", "part"),
    [
        ("--days", 9_999_999_999, "after the year 2199"),
        ("--days", 10**30, "after the year 2199"),
        ("--days", 99_999, "after the year 2199"),
        ("--rate", 10**30, "a rate outside 1 to 1,000,000,000"),
        ("--rate", 0, "a rate outside 1 to 1,000,000,000"),
    ],
)
def test_a_number_that_no_key_can_have_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, number: int, part: str
) -> None:
    monkeypatch.setenv("RISKGATE_KEYS", str(tmp_path / "keys.json"))
    app = typer.Typer(cls=Commands)
    app.add_typer(key_app)
    done = CliRunner().invoke(app, ["key-add", "till", "--scope", "score", option, str(number)])
    assert done.exit_code == 2 and part in done.output
    assert not (tmp_path / "keys.json").exists()


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    for path in (tmp_path, key_file(tmp_path) / "keys.json"):
        with pytest.raises(InvalidKeys, match="to the file of keys itself"):
            Authenticator(key_file=str(path))


def test_a_file_that_is_not_there_is_said_so_and_a_broken_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotStart, match="There is no key file"):
        Authenticator(key_file=str(tmp_path / "none.json"))
    error = refused_by_the_system(key_file(tmp_path), errno.EIO, monkeypatch)
    assert "disk or the mount" in error.repair


def test_while_it_serves_the_keys_read_before_stay_in_force(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    authenticator = Authenticator(key_file=str(path))
    path.write_bytes(b'[{"id": "\xff"}]')
    assert not authenticator.refresh()
    assert authenticator.keys == 1
    assert "is not UTF-8" in str(authenticator.broken)


def test_a_file_of_users_that_is_not_utf_8_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_bytes(b'[{"name": "\xff"}]')
    with pytest.raises(InvalidUser, match="is not UTF-8"):
        Users(path).all()
