# mypy: allow-untyped-calls
"""Each notebook runs from top to bottom and still says what is stored in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def words_of(path: Path) -> list[tuple[int, Any]]:
    """(cell, text) of every textual output; pictures, and cells tagged `varies`, are left to the eye."""
    cells = nbformat.read(path, as_version=4).cells
    fixed = [(n, cell) for n, cell in enumerate(cells) if "varies" not in cell.metadata.get("tags", [])]
    return [(number, text) for number, cell in fixed for text in texts_of(cell.get("outputs", []))]


def texts_of(outputs: list[Any]) -> Iterator[Any]:
    for output in outputs:
        if output.output_type == "stream":
            yield output.text
        elif "image/png" not in output.get("data", {}):
            yield output.get("data", {}).get("text/plain")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_still_says_what_is_stored(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.notebooks", name, "--to", str(tmp_path)]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert words_of(tmp_path / name) == words_of(FOLDER / name), "run `python -m tests.notebooks` and read the change"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_executed_and_small(name: str) -> None:
    cells = [cell for cell in nbformat.read(FOLDER / name, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells), "run `python -m tests.notebooks`"
    assert (FOLDER / name).stat().st_size < 300_000
