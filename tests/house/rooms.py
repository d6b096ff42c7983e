"""The laws of the rooms: each file stands in one, and imports run one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.borders import ROOMS
from tests.house.laws import Law, imports_of, modules_of

LARGEST_FOLDER = 13


def our_modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file, for every module of our packages."""
    known = {}
    for path, _ in modules_of(root):
        parts = path.with_suffix("").parts
        known[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return known


def inner_imports(root: Path) -> Iterator[tuple[Path, int, Path]]:
    """(file, line, imported file) of every import of our packages by our packages."""
    known = our_modules(root)
    for path, tree in modules_of(root):
        for line, name in imports_of(tree):
            target = known.get(name) or known.get(name.rpartition(".")[0])
            if target is not None and target != path:
                yield path, line, target


def room_of(path: Path) -> int | None:
    """The place of a file's room in the order of its package; None for a file without a room."""
    rooms = ROOMS[path.parts[0]]
    name = "/".join(path.with_suffix("").parts[1:])
    found = [room for room in rooms if name == room or name.startswith(room + "/")]
    return rooms.index(max(found, key=len)) if found else None


def every_file_has_a_room(root: Path) -> list[str]:
    """Each file of our packages stands in a room of the table, and each folder's `__init__` says what it holds."""
    broken = [
        f"{path} stands in no room: see ROOMS in borders.py" for path, _ in modules_of(root) if room_of(path) is None
    ]
    for folder in sorted({path.parent for path, _ in modules_of(root)}):
        init = root / folder / "__init__.py"
        if not init.is_file() or not ast.get_docstring(ast.parse(init.read_text())):
            broken.append(f"{folder} has no __init__.py with a docstring: what does it hold, what must it never do?")
    return broken


def rooms_keep_their_order(root: Path) -> list[str]:
    """A room imports only rooms that stand before it (ROOMS)."""
    broken = []
    for path, line, target in inner_imports(root):
        mine, theirs = room_of(path), room_of(target)
        if target.parts[0] == path.parts[0] and mine is not None and theirs is not None and mine < theirs:
            broken.append(f"{path}:{line} imports {target}, whose room stands behind its own")
    return broken


def no_files_import_in_a_circle(root: Path) -> list[str]:
    """No file reaches itself through imports, lazy ones and those for types included."""
    reached: dict[Path, set[Path]] = {}
    for path, _, target in inner_imports(root):
        reached.setdefault(path, set()).add(target)
    while True:  # files that import no other that is left, or that none imports, are in no circle
        imported = set[Path]().union(*reached.values())
        ends = {path for path, targets in reached.items() if path not in imported or not targets & reached.keys()}
        if not ends:
            return [
                f"{path} imports itself through {sorted(map(str, reached[path] & reached.keys()))}" for path in reached
            ]
        reached = {path: targets for path, targets in reached.items() if path not in ends}


def folders_are_small(root: Path) -> list[str]:
    """No folder of our packages holds more than so many files directly, `__init__` apart (the typologies may)."""
    held: dict[Path, int] = {}
    for path, _ in modules_of(root):
        held[path.parent] = held.get(path.parent, 0) + (path.name != "__init__.py")
    return [
        f"{folder} holds {count} files: {LARGEST_FOLDER} is the limit, divide it"
        for folder, count in held.items()
        if count > LARGEST_FOLDER and folder.name != "typologies"
    ]


ROOM_LAWS: tuple[Law, ...] = (
    every_file_has_a_room,
    rooms_keep_their_order,
    no_files_import_in_a_circle,
    folders_are_small,
)
