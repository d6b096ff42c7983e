"""The commands of a challenger: send one through the past, and compare it with the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from serving.errors import CannotStart
from serving.output import out, telling
from serving.settings import read_settings

challenger_app = typer.Typer(no_args_is_help=True, help="Challengers, which score beside the champion.")


@challenger_app.command()
def challenge(
    bundle: Annotated[str | None, typer.Option(help="Folder or tag; RISKGATE_CHALLENGER if not given.")] = None,
    going_on: Annotated[bool, typer.Option("--follow", help="From the present on, until stopped.")] = False,
) -> None:
    """Let a challenger judge every payment of the ledger from its receipt, and say how it compares."""
    from serving.challenger.challenger import Challenger, follow
    from serving.challenger.comparison import compare
    from serving.challenger.shadow_scores import ShadowScores
    from serving.ledger import open
    from serving.model.model_store import folder_of

    with telling():
        settings = read_settings()
        named = bundle or settings.challenger
        if not named:
            raise CannotStart("No challenger is named.", "Set RISKGATE_CHALLENGER, or pass --bundle FOLDER-OR-TAG.")
        if going_on:
            follow(settings, lambda: folder_of(settings, named, "RISKGATE_CHALLENGER"))
        scores = ShadowScores(settings.shadow_path)
        challenger = Challenger(settings, folder_of(settings, named, "RISKGATE_CHALLENGER"), scores)
        with open.opened(settings) as ledger:
            challenger.catch_up(ledger, challenger.begin(ledger, past=True))
        scores.close()
        for line in compare(settings).sentences():
            out.print(line)


@challenger_app.command("compare")
def compare_both(
    report: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
) -> None:
    """Say how the challenger that worked last compares with the champion on the same payments."""
    from serving.challenger.comparison import compare

    with telling():
        found = compare(read_settings())
    for line in found.sentences():
        out.print(line)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(msgspec.json.format(msgspec.json.encode(found.figures()), indent=2))
