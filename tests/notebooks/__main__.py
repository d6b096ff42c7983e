# mypy: allow-untyped-calls
"""`python -m tests.notebooks`: execute the notebooks again and store what they say, without a trace of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import typer
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"


def executed(path: Path) -> Any:
    """The notebook run from top to bottom in a fresh kernel; volatile metadata removed.

    Raises: nbclient's CellExecutionError when a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.id, cell.metadata = f"cell-{number}", nbformat.NotebookNode({"tags": tags} if tags else {})
    notebook.metadata = nbformat.NotebookNode(
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
        language_info={"name": "python"},
    )
    return notebook


def main(
    names: list[str] = typer.Argument(None, help="files in notebooks/; none: all"),
    to: Path = typer.Option(FOLDER, help="folder to write into"),
) -> None:
    """Execute and write."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.name in names:
            nbformat.write(executed(path), to / path.name)


if __name__ == "__main__":
    typer.run(main)
