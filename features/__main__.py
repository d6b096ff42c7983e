"""Command line of the features: show the catalogue, replay a history, work with the Feast store."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from features import store_command
from features.catalog import Catalog, CatalogParameters, catalog, catalog_of
from features.contract import Contract
from features.errors import RiskgateError
from features.replay import replay_to_parquet

app = typer.Typer(help="What was known at a moment: the feature catalogue and its replay.", no_args_is_help=True)
app.add_typer(store_command.app, name="store")
console = Console()


def _catalog(contract: Path | None, currency: str) -> Catalog:
    if contract is not None:
        return catalog_of(Contract.from_json(contract.read_bytes()))
    return catalog(CatalogParameters(reference_currency=currency))


@app.command()
def show(
    currency: str = typer.Option("INR", help="Reference currency of the amounts."),
    contract: Path | None = typer.Option(None, help="Show the catalogue of this contract.json instead."),
) -> None:
    """Print every feature by fraud story, with its unit and its sentence."""
    chosen = _catalog(contract, currency)
    table = Table("story", "feature", "unit", "what it says", title=f"Catalogue {chosen.contract().hash[:8]}")
    for feature in sorted(chosen.features, key=lambda f: f.story):
        table.add_row(feature.story, feature.name, feature.unit, feature.sentence)
    console.print(table)
    console.print(f"{len(chosen.names)} features.")


@app.command()
def replay(
    history: Path = typer.Argument(help="Parquet file of payments, in the normalised shape."),
    target: Path = typer.Argument(help="Parquet file of features to write."),
    currency: str = typer.Option("INR", help="Reference currency of the amounts."),
    contract: Path | None = typer.Option(None, help="Use the parameters of this contract.json instead."),
) -> None:
    """Compute the features of every payment of a history as they were before that payment."""
    chosen = _catalog(contract, currency)
    rows = pq.read_metadata(history).num_rows
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("replay", total=rows)
        done = replay_to_parquet(history, target, chosen, progress=lambda n: bar.advance(task, n))
        bar.update(task, total=done, completed=done)
    console.print(f"{done:,} payments, {len(chosen.names)} features each: {target}")


def main() -> None:
    """Run the command line; a refusal is one sentence on standard error and exit code 2."""
    try:
        app()
    except (RiskgateError, FileNotFoundError) as problem:
        Console(stderr=True).print(f"[red]{problem}[/red]")
        raise SystemExit(2) from problem


if __name__ == "__main__":
    main()
