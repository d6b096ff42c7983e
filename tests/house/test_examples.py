"""What an example in a docstring says is so: nobody reads one that has grown old."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    source
    for package in ("features", "serving", "training")
    for source in (ROOT / package).rglob("*.py")
    if ">>> " in source.read_text()
)


def mistaken(module: ModuleType) -> list[str]:
    """What the examples of a module say and is not so."""
    told: list[str] = []
    for one in doctest.DocTestFinder(exclude_empty=True).find(module):
        doctest.DocTestRunner(verbose=False).run(one, out=told.append)
    return told


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_examples_say_what_is_so(source: Path) -> None:
    module = importlib.import_module(".".join(source.relative_to(ROOT).with_suffix("").parts))
    assert mistaken(module) == []


def test_an_example_that_is_not_so_is_found() -> None:
    planted = ModuleType("planted", "An example.\n\n>>> 1 + 1\n3\n")
    assert "Expected:\n    3" in "".join(mistaken(planted))
    assert len(SOURCES) > 30
