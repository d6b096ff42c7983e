"""Output of commands: messages go to standard error, and a refusal is one sentence and exit code 2."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console

from features.errors import RiskgateError

out = Console(stderr=True, highlight=False, soft_wrap=True)


def write_report(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON for people and machines; the folder is created if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2))


@contextlib.contextmanager
def exit_on_refusal() -> Iterator[None]:
    """Ends the command with the sentence of a refusal, or of an error on a named file, instead of a traceback."""
    try:
        yield
    except RiskgateError as error:
        out.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from error
    except OSError as error:
        if error.filename is None:  # not about a named file
            raise
        out.print(f"{error.filename}: {error.strerror}.", style="red", markup=False)
        raise typer.Exit(os.EX_IOERR) from error
