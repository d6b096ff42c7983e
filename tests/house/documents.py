"""The documents of the repository, taken apart: code, links, tables, paths, citations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.laws import PACKAGES, modules_of

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = tuple(sorted((ROOT / "docs").rglob("*.md")))
#: What a user reads; the changelog speaks of the past, so its commands and paths are not compared.
DOCUMENTS = (README, *DOCS)
CHANGELOG = ROOT / "CHANGELOG.md"
LONGEST_LINE = 120

_LINK = re.compile(r"\]\(([^)\s]+)\)")
#: A path of the repository: one of its folders, a slash, and what a name is made of.
_PATH = re.compile(r"(?<![\w./-])((?:features|training|serving|tests|docs|notebooks|\.ci)/[\w./-]*[\w/])")
_PLACE = re.compile(r"docs/design\.md §(\d+)(?: and §(\d+))?")
_LAW = re.compile(r"\b[Ll]aw (\d+)\b")
#: Documents that were cited by name and are not in the repository.
_ABSENT = re.compile(r"\b(?:DESIGN|STACK|HOUSE|STYLE)(?:\.md)?\b(?= §| law|\.md)|README §")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_of(markdown: str) -> str:
    """Everything in code spans and code blocks, without comments."""
    blocks = re.findall(r"```[^\n]*\n(.*?)```", markdown, flags=re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", markdown, flags=re.S))
    return "\n".join(re.sub(r"\s#.*", "", line) for block in (*blocks, *spans) for line in block.splitlines())


def blocks_of(markdown: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", markdown, flags=re.S | re.M)


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


def rows_of(markdown: str, *columns: str) -> list[tuple[str, ...]]:
    """The rows of every table whose head is these columns, without back-quotes."""
    wanted, inside, rows = list(columns), False, []
    for line in markdown.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if cells == wanted:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(line) - set("|- "):
            rows.append(tuple(cell.replace("`", "") for cell in cells))
    return rows


def links_of(path: Path) -> Iterator[tuple[str, str]]:
    """(file, anchor) of every relative link of a document; the file is empty for a place in the same document."""
    for target in _LINK.findall(re.sub(r"```.*?```", "", text_of(path), flags=re.S)):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield file, anchor


def anchors_of(markdown: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", markdown, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken_links(path: Path) -> list[str]:
    """Relative links of a document that lead nowhere."""
    broken = []
    for file, anchor in links_of(path):
        target = path if not file else (path.parent / file).resolve()
        if not target.exists() or (anchor and anchor not in anchors_of(text_of(target))):
            broken.append(f"{name_of(path)}: {file}#{anchor}")
    return broken


def paths_in(markdown: str) -> set[str]:
    """Every path of the repository that a document names."""
    return set(_PATH.findall(markdown))


def absent_paths(path: Path) -> list[str]:
    """Paths that a document names and that do not exist."""
    return [f"{name_of(path)}: {one}" for one in sorted(paths_in(text_of(path))) if not (ROOT / one).exists()]


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


def wrong_citations(text: str, design: str) -> list[str]:
    """What a text cites and what is not there: sections and laws of the design, documents kept elsewhere."""
    sections = set(re.findall(r"^## (\d+)\.", design, flags=re.M))
    laws = set(re.findall(r"^(\d+)\. \*\*", design, flags=re.M))
    cited = {number for place in _PLACE.findall(text) for number in place if number}
    return [
        *(f"§{number}" for number in sorted(cited - sections)),
        *(f"law {number}" for number in sorted(set(_LAW.findall(text)) - laws)),
        *_ABSENT.findall(text),
    ]
