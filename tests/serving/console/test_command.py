from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from serving.console.auth.users import Users
from serving.console.command import console_app

SECRET = "a long enough secret"


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RISKGATE_VAR", str(tmp_path))
    return tmp_path


def test_user_add_lets_somebody_sign_in(var: Path) -> None:
    done = CliRunner().invoke(console_app, ["user-add", "asha", "--password", SECRET])
    assert done.exit_code == 0
    assert "asha may sign in as analyst." in done.output
    assert Users(var / "users.json").authenticate("asha", SECRET) is not None


def test_user_add_asks_twice_for_a_password_that_was_not_given(var: Path) -> None:
    done = CliRunner().invoke(console_app, ["user-add", "asha"], input=f"{SECRET}\n{SECRET}\n")
    assert done.exit_code == 0
    assert SECRET not in done.output
    assert Users(var / "users.json").find("asha") is not None


def test_user_add_does_not_take_over_a_name_unless_told_to(var: Path) -> None:
    runner = CliRunner()
    runner.invoke(console_app, ["user-add", "asha", "--password", SECRET])
    refused = runner.invoke(console_app, ["user-add", "asha", "--password", "another long secret"])
    assert refused.exit_code == 2
    assert "--replace" in refused.output
    replaced = runner.invoke(
        console_app, ["user-add", "asha", "--password", "another long secret", "--role", "lead", "--replace"]
    )
    assert replaced.exit_code == 0
    user = Users(var / "users.json").authenticate("asha", "another long secret")
    assert user is not None
    assert user.role == "lead"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["user-add", "Asha!", "--password", SECRET], "cannot be a user name"),
        (["user-add", "asha", "--password", "short"], "has 5 characters"),
        (["user-add", "asha", "--password", SECRET, "--role", "king"], "Use one of analyst"),
    ],
)
def test_a_refused_user_is_told_in_a_sentence_without_a_traceback(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(console_app, arguments)
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_the_desks_commands_join_another_command_line_under_their_own_names() -> None:
    whole = typer.Typer()
    whole.add_typer(console_app)
    text = CliRunner().invoke(whole, ["--help"]).output
    assert "console" in text
    assert "user-add" in text
