"""The pins of the bento: the part of the constraints that serving needs, with the same versions, markers and hashes.

`make lock` writes them to serving/requirements.txt, a test compares. What serving needs is what the files of the
bento import, and all that these packages need in turn: uv notes after each pin why it is there (`# via`).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml
from pathspec import PathSpec

from tests.house.laws import PACKAGES, files_of, imports_of

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
PINS = ROOT / "serving" / "requirements.txt"
#: Needed without an import of ours: LightGBM's shared library, and what Starlette imports when a form is posted.
UNSEEN = frozenset({"lightgbm", "python-multipart"})
HEAD = """\
# What the bento installs: the part of constraints.txt that serving needs. Written by the following command:
#    make lock
"""
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.M)
REASON = re.compile(r"^    #(?: via)? +(?!via$)([a-z0-9][a-z0-9._-]*)", re.M)


class UnknownPackage(Exception):
    """An import that no pin of the constraints provides."""


def pins_of(constraints: str) -> list[tuple[str, str]]:
    """(package, text) of each pin: its version, marker, hashes and reasons; a package may have several."""
    starts = [(match.start(), match[1]) for match in PIN.finditer(constraints)]
    ends = [start for start, _ in starts[1:]] + [len(constraints)]
    return [(name, constraints[start:end]) for (start, name), end in zip(starts, ends, strict=True)]


def closure(roots: Iterable[str], pins: list[tuple[str, str]]) -> set[str]:
    """The roots and everything that is pinned because of them."""
    needed = set(roots)
    while more := {name for name, text in pins if needed & set(REASON.findall(text))} - needed:
        needed |= more
    return needed


def bento_files(root: Path = ROOT) -> list[Path]:
    """The Python files that bentofile.yaml takes into the bento, relative to the root."""
    declared = yaml.safe_load((root / "bentofile.yaml").read_text())
    taken = PathSpec.from_lines("gitignore", declared["include"])
    left = PathSpec.from_lines("gitignore", declared["exclude"])
    return [
        path for path in files_of(root) if path.suffix == ".py" and taken.match_file(path) and not left.match_file(path)
    ]


def roots_of(files: Iterable[Path], pinned: set[str], root: Path = ROOT) -> set[str]:
    """The packages that these files import.

    Raises: UnknownPackage when an import is neither Python's, nor ours, nor pinned.
    """
    found, provided = set(UNSEEN), packages_distributions()
    for path in files:
        for line, name in imports_of(ast.parse((root / path).read_text(encoding="utf-8"))):
            module = name.partition(".")[0]
            if module in sys.stdlib_module_names or module in PACKAGES:
                continue
            candidates = {normalised(one) for one in (module, *provided.get(module, ()))} & pinned
            if not candidates:
                raise UnknownPackage(f"{path}:{line} imports {name}, which no line of constraints.txt provides.")
            found |= candidates
    return found


def normalised(name: str) -> str:
    """A package's name as the constraints write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def serving_pins(root: Path = ROOT) -> str:
    """The text of serving/requirements.txt, made from the constraints and the files of the bento."""
    pins = pins_of((root / "constraints.txt").read_text())
    needed = closure(roots_of(bento_files(root), {name for name, _ in pins}, root), pins)
    return HEAD + "".join(text for name, text in pins if name in needed)


if __name__ == "__main__":
    PINS.write_text(serving_pins())
