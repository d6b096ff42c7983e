"""What the README promises exists: its commands, its settings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from serving.settings import PREFIX, TABLE
from tests.house.laws import PACKAGES, modules_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", MAKE, flags=re.M))


def code_of(markdown: str) -> str:
    """Everything in code spans and code blocks, without comments."""
    blocks = re.findall(r"```[^\n]*\n(.*?)```", markdown, flags=re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", markdown, flags=re.S))
    return "\n".join(re.sub(r"\s#.*", "", line) for block in (*blocks, *spans) for line in block.splitlines())


def make_targets_in(markdown: str) -> set[str]:
    return {target for line in re.findall(r"\bmake\s+([^\n|;&]*)", code_of(markdown)) for target in goals(line)}


def goals(words: str) -> list[str]:
    """The targets of one `make` line: neither options nor variables."""
    return [
        word for word in re.sub(r"\"[^\"]*\"", "", words).split() if re.fullmatch(r"[a-z-]+", word) and word[0] != "-"
    ]


def commands_in(markdown: str) -> set[tuple[str, str]]:
    """(package, command) of every `python -m package command`."""
    return set(re.findall(rf"python3? -m ({'|'.join(PACKAGES)}) ([a-z][\w-]*)", code_of(markdown)))


def commands_of(package: str) -> set[str]:
    """The commands that the package's typer app declares, read from its source."""
    names = set()
    for _, tree in modules_of(ROOT, package):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    names |= declared(decorator, node.name)
            elif isinstance(node, ast.Call):
                names |= declared(
                    node.func, node.args[0].id if node.args and isinstance(node.args[0], ast.Name) else ""
                )
                names |= group(node)
    return names - {""}


def declared(decorator: ast.expr, function: str) -> set[str]:
    """The name that `@app.command(...)` gives to `function`."""
    if not (isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute)):
        return set()
    if decorator.func.attr != "command":
        return set()
    given = [a.value for a in decorator.args if isinstance(a, ast.Constant)]
    given += [k.value.value for k in decorator.keywords if k.arg == "name" and isinstance(k.value, ast.Constant)]
    return {str(given[0]) if given else function.strip("_").replace("_", "-")}


def group(call: ast.Call) -> set[str]:
    """The name of a group of commands: `app.add_typer(..., name="...")`."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "add_typer"):
        return set()
    return {str(k.value.value) for k in call.keywords if k.arg == "name" and isinstance(k.value, ast.Constant)}


def test_every_make_command_of_the_readme_exists() -> None:
    missing = make_targets_in(README) - TARGETS
    assert not missing, f"the README says `make {' '.join(sorted(missing))}`; the Makefile has {sorted(TARGETS)}"


def test_the_readme_names_its_two_commands() -> None:
    assert {"demo", "test"} <= make_targets_in(README)


def test_every_python_command_of_the_readme_exists() -> None:
    missing = [f"python -m {p} {c}" for p, c in sorted(commands_in(README)) if c not in commands_of(p)]
    assert not missing


def test_the_settings_table_of_the_readme_is_the_one_of_the_code() -> None:
    lines = {line.strip() for line in README.splitlines() if line.startswith(f"| `{PREFIX}")}
    wanted = {
        f"| `{PREFIX}{row.name}` | {f'`{row.default}`' if row.default else 'none'} | {row.unit.replace('|', ' or ')} "
        f"| {row.meaning} |"
        for row in TABLE
    }
    assert lines == wanted, "write these rows in the README:\n" + "\n".join(sorted(wanted))


def test_help_lists_every_target_that_a_user_calls() -> None:
    told = set(re.findall(r"^([a-z-]+):.*## ", MAKE, flags=re.M))
    assert told == TARGETS


@pytest.mark.parametrize(
    ("markdown", "targets"),
    [
        ("```sh\nmake demo EXIT=1  # make nothing\nmake test\n```", {"demo", "test"}),
        ("use `make serve PORT=3000` and make a cup of tea", {"serve"}),
        ('`make test ARGS="-k name"`', {"test"}),
    ],
)
def test_make_commands_are_found_in_code_only(markdown: str, targets: set[str]) -> None:
    assert make_targets_in(markdown) == targets


def test_python_commands_are_found() -> None:
    assert commands_in("`python -m training fit --seed 3`") == {("training", "fit")}
