"""The commands of a challenger: score the past with one, and compare it with the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.errors import CannotStart
from serving.output import out, write_report
from serving.settings import read_settings

challenger_app = typer.Typer(no_args_is_help=True, help="Challengers, which score the champion's payments.")


@challenger_app.command()
def challenge(
    bundle: Annotated[str | None, typer.Option(help="Folder or tag; RISKGATE_CHALLENGER if not given.")] = None,
    following: Annotated[bool, typer.Option("--follow", help="From the present on, until stopped.")] = False,
) -> None:
    """Score every payment of the ledger with a challenger, from its receipt, and compare it with the champion."""
    from serving.challenger.challenger import Challenger, follow
    from serving.challenger.comparison import compare
    from serving.challenger.shadow_scores import ShadowScores
    from serving.ledger import open
    from serving.model.model_store import bundle_folder

    settings = read_settings()
    named = bundle or settings.challenger
    if not named:
        raise CannotStart("No challenger is given.", "Set RISKGATE_CHALLENGER, or pass --bundle FOLDER-OR-TAG.")

    def find() -> Path:
        return bundle_folder(named, settings.var, "RISKGATE_CHALLENGER")

    if following:
        follow(settings.ledger, find)
    scores = ShadowScores(settings.ledger.shadow)
    challenger = Challenger(find(), settings.hash_key, scores)
    with open.opened(settings.ledger) as ledger:
        challenger.catch_up(ledger, challenger.begin(ledger, past=True))
    scores.close()
    for line in compare(settings.ledger).sentences():
        out.print(line)


@challenger_app.command("compare")
def compare_both(
    report: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
) -> None:
    """Compare the challenger active last with the champion on the same payments."""
    from serving.challenger.comparison import compare

    found = compare(read_settings().ledger)
    for line in found.sentences():
        out.print(line)
    if report is not None:
        write_report(report, found.figures())
