"""Command line of the features: show the catalogue, replay a history, work with the Feast store."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import typer
from rich.console import Console
from rich.padding import Padding

from features.catalogue.choose import chosen_catalogue
from features.command_line import Commands
from features.feast_store import command
from features.history.parquet import count_rows
from features.progress import progress
from features.state.replay import replay_to_parquet

app = typer.Typer(
    cls=Commands, help="What was known at a moment: the feature catalogue and its replay.", no_args_is_help=True
)
app.add_typer(command.app, name="store")
console = Console()


@app.command()
def show(
    currency: str = typer.Option("INR", help="Reference currency of the amounts."),
    contract: Path | None = typer.Option(None, help="Show the catalogue of this contract.json instead."),
) -> None:
    """Print every feature by fraud typology, with its unit and its sentence."""
    chosen = chosen_catalogue(contract, currency)
    console.print(f"Catalogue {chosen.contract().hash[:8]}: {len(chosen.names)} features")
    for story, features in groupby(sorted(chosen.features, key=lambda f: f.typology), key=lambda f: f.typology):
        console.print(f"\n[bold]{story}[/bold]")
        for feature in features:
            # a name is never cut: it is what a reader searches for
            console.print(f"  {feature.name}  [dim]{feature.unit}[/dim]", highlight=False)
            console.print(Padding(feature.sentence, (0, 0, 0, 6)), highlight=False)


@app.command()
def replay(
    history: Path = typer.Argument(help="Parquet file of payments, in the normalised shape."),
    target: Path = typer.Argument(help="Parquet file of features to write."),
    currency: str = typer.Option("INR", help="Reference currency of the amounts."),
    contract: Path | None = typer.Option(None, help="Use the parameters of this contract.json instead."),
) -> None:
    """Compute the features of every payment of a history as they were before that payment."""
    chosen = chosen_catalogue(contract, currency)
    rows = count_rows(history)
    with progress(console) as shown:
        shown.stage("replaying", rows)
        done = replay_to_parquet(history, target, chosen, progress=shown.advance)
    console.print(f"{done:,} payments, {len(chosen.names)} features each: {target}")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
