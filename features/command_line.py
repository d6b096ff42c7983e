"""The group of commands that every command line of ours uses: a refusal ends it with one sentence."""

from __future__ import annotations

import os
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from features.errors import RiskgateError


class Commands(TyperGroup):
    """Commands that end with the sentence of a refusal (exit code 2), or of an error on a named file (74).

    The sentence goes to standard error; no traceback is shown.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command of the context."""
        try:
            return super().invoke(ctx)
        except RiskgateError as error:
            raise _exit(str(error), 2) from error
        except OSError as error:
            if error.filename is None:  # not about a named file
                raise
            raise _exit(f"{error.filename}: {error.strerror}.", os.EX_IOERR) from error


def _exit(sentence: str, code: int) -> typer.Exit:
    Console(stderr=True, highlight=False, soft_wrap=True).print(sentence, style="red", markup=False)
    return typer.Exit(code)
