"""The laws of the house: each a function from a source tree to the sentences that say where it is broken."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from tests.house.borders import ARROWS, BORDERS, PURE, PURE_MAY_IMPORT, SQL_BORDER, TOP_LEVEL

PACKAGES = ("features", "training", "serving")
LONGEST_FILE = 300
VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "managers", "base", "misc"})
SQL = re.compile(
    r"^\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s"
    r"|CREATE\s+(TABLE|INDEX|UNIQUE|VIEW)\s|ALTER\s+TABLE\s|PRAGMA\s)"
)
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:work|home|root|Users|opt/wheels)/[\w.]")
NAIVE_CALLS = frozenset({"utcnow", "utcfromtimestamp", "today"})
IMPURE_CALLS = frozenset({"open", "input", "exec", "eval", "read_text", "read_bytes", "write_text", "write_bytes"})

Law = Callable[[Path], list[str]]


def files_of(root: Path) -> list[Path]:
    """Every file of the tree that is or could be committed, relative to `root`."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        return sorted({Path(name) for name in listed if name and (root / name).is_file()})
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def modules_of(root: Path, *folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every Python file below `folders` with its syntax tree."""
    for path in files_of(root):
        if path.suffix == ".py" and path.parts[0] in (folders or PACKAGES):
            yield path, _parsed((root / path).read_text(encoding="utf-8"), str(path))


@cache  # every law looks at every file
def _parsed(text: str, name: str) -> ast.Module:
    return ast.parse(text, filename=name)


def imports_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) == "import_module" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def called(node: ast.Call) -> str:
    """The last name of what is called: `now` for `datetime.now()`."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def under(path: Path, places: tuple[str, ...]) -> bool:
    """Whether `path` is one of `places` (files, or folders ending in /)."""
    return any(
        path.as_posix() == place or (place.endswith("/") and path.as_posix().startswith(place)) for place in places
    )


def is_or_is_in(name: str, module: str) -> bool:
    """Whether dotted `name` is `module` or something inside it."""
    return name == module or name.startswith(module + ".")


def imports_never_turn_back(root: Path) -> list[str]:
    """Law 8: `features` imports nothing of ours, `training` and `serving` never each other."""
    return [
        f"{path}:{line} imports {name}: of ours it may import {', '.join(ARROWS[path.parts[0]])}"
        for path, tree in modules_of(root)
        for line, name in imports_of(tree)
        if name.split(".")[0] in (*PACKAGES, "tests") and name.split(".")[0] not in ARROWS[path.parts[0]]
    ]


def each_library_keeps_to_its_border(root: Path) -> list[str]:
    """A library with a border is imported only by the files that the table names."""
    return [
        f"{path}:{line} imports {name}: only {', '.join(places) or 'nobody'} may"
        for path, tree in modules_of(root)
        for line, name in imports_of(tree)
        for library, places in BORDERS.items()
        if is_or_is_in(name, library) and not under(path, places)
    ]


def sql_keeps_to_its_border(root: Path) -> list[str]:
    """SQL text stands only in the files that own a database."""
    return [
        f"{path}:{node.lineno} holds SQL: only {', '.join(SQL_BORDER)} may"
        for path, tree in modules_of(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
        if not under(path, SQL_BORDER)
    ]


def settings_alone_read_the_environment(root: Path) -> list[str]:
    """`os.environ` and its kin are read in `*/settings.py` and nowhere else."""
    return [
        f"{path}:{line} reads the environment: only settings.py may; pass the value in"
        for path, tree in modules_of(root)
        if path.name != "settings.py"
        for line in sorted(environment_lines(tree))
    ]


def environment_lines(tree: ast.Module) -> set[int]:
    """The lines of a file that reach the process environment."""
    return {getattr(node, "lineno", 0) for node in ast.walk(tree) if touches_environment(node)}


def touches_environment(node: ast.AST) -> bool:
    """Whether this expression or import reaches the process environment (typer's `envvar=` included)."""
    names = ("environ", "environb", "getenv")
    if isinstance(node, ast.Attribute):
        return node.attr in names and isinstance(node.value, ast.Name) and node.value.id == "os"
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and any(alias.name in names for alias in node.names)
    return isinstance(node, ast.keyword) and node.arg == "envvar"


def files_hold_one_idea(root: Path) -> list[str]:
    """No Python file is longer than a reader can hold."""
    lengths = ((path, len((root / path).read_text().splitlines())) for path, _ in modules_of(root, *PACKAGES, "tests"))
    return [f"{path} has {n} lines: split it, {LONGEST_FILE} is the limit" for path, n in lengths if n > LONGEST_FILE]


def nothing_prints(root: Path) -> list[str]:
    """Command lines speak through a console object; nothing else speaks at all."""
    return [
        f"{path}:{node.lineno} prints: use the command line's console"
        for path, tree in modules_of(root, *PACKAGES, "tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "breakpoint")
    ]


def time_is_never_naive(root: Path) -> list[str]:
    """Every moment made in code carries its zone."""
    return [
        f"{path}:{node.lineno} makes a moment without a zone: {ast.unparse(node)[:60]}"
        for path, tree in modules_of(root, *PACKAGES, "tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and is_naive(node)
    ]


def is_naive(node: ast.Call) -> bool:
    """Whether this call makes a datetime and names no zone."""
    name, keywords = called(node), {keyword.arg for keyword in node.keywords}
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    owner_name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    if name in NAIVE_CALLS:
        return owner_name in ("datetime", "date", "Timestamp")
    if name == "now":
        return owner_name in ("datetime", "Timestamp") and not node.args and not keywords & {"tz"}
    if name == "fromtimestamp":
        return owner_name in ("datetime", "date") and len(node.args) < 2 and not keywords & {"tz"}
    return name == "datetime" and len(node.args) < 8 and bool(node.args or keywords) and "tzinfo" not in keywords


def names_say_what_is_inside(root: Path) -> list[str]:
    """No module is called after the fact that its author had no name for it."""
    return [
        f"{path}: '{part}' says nothing; name what is inside"
        for path, _ in modules_of(root, *PACKAGES, "tests")
        for part in (*path.parts[:-1], path.stem)
        if part in VAGUE_NAMES
    ]


def the_core_is_pure(root: Path) -> list[str]:
    """Decision, scorer, rules and reasons compute; they neither read nor write nor look at a clock."""
    broken = []
    for path, tree in modules_of(root, "serving"):
        module = "/".join(path.with_suffix("").parts[1:])
        if module not in PURE:
            continue
        for line, name in imports_of(tree):
            if not any(is_or_is_in(name, allowed) for allowed in (*PURE_MAY_IMPORT, *PURE[module])):
                broken.append(f"{path}:{line} imports {name}: a pure module may not")
        broken += [
            f"{path}:{node.lineno} calls {called(node)}: a pure module neither reads nor writes"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and called(node) in IMPURE_CALLS
        ]
    return broken


def the_top_level_is_as_agreed(root: Path) -> list[str]:
    """Beside the agreed names there is nothing, and none of them is missing."""
    present = {path.parts[0] for path in files_of(root)}
    return [f"{name} stands at the top level: it has no place there" for name in sorted(present - TOP_LEVEL)] + [
        f"{name} is missing at the top level" for name in sorted(TOP_LEVEL - present)
    ]


def feast_finds_one_definition(root: Path) -> list[str]:
    """Feast imports every Python file below its yaml as a top-level module (but `__init__`): there is exactly one."""
    below = [
        path
        for path in files_of(root)
        if path.parts[:3] == ("features", "feast_store", "repo") and path.suffix == ".py"
    ]
    found = [path.as_posix() for path in below if path.name != "__init__.py"]
    return (
        []
        if found == ["features/feast_store/repo/definitions.py"]
        else [f"features/feast_store/repo holds {found}, not definitions.py alone"]
    )


def nothing_names_a_machine(root: Path) -> list[str]:
    """No committed file holds an absolute path of somebody's machine or the host of a package index."""
    return [
        f"{path}:{number} names {what}: {line.strip()[:80]}"
        for path in files_of(root)
        for number, line in enumerate((root / path).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        for what in machine_names(line)
    ]


def machine_names(line: str) -> Iterator[str]:
    """What in this line only makes sense on one machine."""
    if MACHINE_PATH.search(line):
        yield "a machine's path"
    if any(host in line for host in index_hosts()):
        yield "a package index"


def index_hosts() -> tuple[str, ...]:
    """The hosts of the package indexes, composed so that this file does not name them."""
    return (
        ".".join(("pypi", "org")),
        ".".join(("files", "pythonhosted", "org")),
        ".".join(("registry", "npmjs", "org")),
    )


def pins_name_no_index(root: Path) -> list[str]:
    """The constraints file works wherever packages come from, and every pin carries a hash."""
    text = (root / "constraints.txt").read_text()
    broken = [f"constraints.txt holds an option: {line}" for line in text.splitlines() if line.startswith("--")]
    pins = re.findall(r"^([\w.\[\]-]+)==(?:[^\n\\]|\\\n)*", text, flags=re.M)
    blocks = re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", text, flags=re.M)[1:]
    broken += [
        f"constraints.txt pins {block.split()[0]} without a hash" for block in blocks if "--hash=sha256:" not in block
    ]
    return broken if pins else ["constraints.txt pins nothing"]


LAWS: tuple[Law, ...] = (
    imports_never_turn_back,
    each_library_keeps_to_its_border,
    sql_keeps_to_its_border,
    settings_alone_read_the_environment,
    files_hold_one_idea,
    nothing_prints,
    time_is_never_naive,
    names_say_what_is_inside,
    the_core_is_pure,
    the_top_level_is_as_agreed,
    feast_finds_one_definition,
    nothing_names_a_machine,
    pins_name_no_index,
)
