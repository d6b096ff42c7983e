"""Command line of training: import a history, fit, evaluate, promote, report."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

from features.catalogue.catalogue import catalogue_of
from features.command_line import Commands
from features.progress import waiting
from training.data.source_map import Dataset, known_datasets, load
from training.settings import TABLE, Settings, read_settings, use_own_model_store
from training.world_commands import evaluate_world, festival, simulate

app = typer.Typer(
    cls=Commands,
    help="What we learned: from a history of payments to a calibrated model, its policy and its report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

app.command(name="simulate")(simulate)
app.command(name="evaluate-world")(evaluate_world)
app.command(name="festival")(festival)

DATASET = typer.Argument(help="A name from training/datasets, or the path of a YAML file of your own.")
HISTORY = typer.Option(None, help="Parquet history; default: the one that `history` makes below var.")
RECIPE = typer.Option(None, help="One of the data set's recipes; default: its first.")
PROFILES = typer.Option(None, help="Profiles (SQLite) of the history; default: the file beside it.")
DIRECT = typer.Option(False, "--direct", help="Ask the kernel for features instead of Feast: same values, sooner.")


@app.command()
def datasets() -> None:
    """List the data sets that come with the repository, and the settings of training."""
    table = Table("data set", "what it is", "recipes", Column("where a user gets it", overflow="fold"))
    for name in known_datasets():
        data_set = load(name)
        table.add_row(
            name, data_set.title, ", ".join(data_set.recipes), data_set.source.where if data_set.source else "-"
        )
    console.print(table)
    settings = Table("setting", "default", "meaning")
    for row in TABLE:
        settings.add_row(f"RISKGATE_{row.name}", row.default or "-", row.meaning)
    console.print(settings)


@app.command()
def history(
    dataset: str = DATASET,
    data: Path = typer.Option(help="Folder that holds the source file named by the data set."),
    out: Path | None = typer.Option(None, help="Parquet to write; default below var."),
) -> None:
    """Turn a source file into a normalised history by the data set's mapping."""
    from training.data.ingest import write_history

    data_set, settings = load(dataset), read_settings()
    target = out or _history_path(data_set, settings)
    with waiting(console, f"reading {data_set.title}"):
        payments = write_history(data_set, data, target, settings.tokens())
    console.print(f"{payments:,} payments: {target}")


@app.command()
def fit(
    dataset: str = DATASET,
    history: Path | None = HISTORY,
    recipe: str | None = RECIPE,
    profiles: Path | None = PROFILES,
    direct: bool = DIRECT,
) -> None:
    """Train, evaluate, track and register a challenger."""
    from training.runs.run import profiles_of_history, run
    from training.runs.terminal import progress, show_report

    data_set, settings = load(dataset), read_settings()
    path = history or _history_path(data_set, settings)
    with progress(console, _rows(path)) as listener:
        found = profiles or profiles_of_history(path)
        trained, version = run(data_set, path, settings, recipe, found, not direct, listener)
    show_report(console, trained.report, f"risk@{version.version} on {data_set.name}", data_set.reference_currency)
    console.print(f"Registered risk@{version.version} as challenger. Next: python -m training promote")


@app.command()
def evaluate(
    dataset: str = DATASET,
    version: str = typer.Option("champion", help="Alias or number of a registered version."),
    history: Path | None = HISTORY,
    recipe: str | None = RECIPE,
    profiles: Path | None = PROFILES,
    direct: bool = DIRECT,
) -> None:
    """Evaluate a registered version on the test period of a recipe, out of time."""
    from training.evaluation.report import evaluate as judge
    from training.model.split import split_by_time
    from training.runs.mlflow_log import read_bundle_of
    from training.runs.pipeline import score_with
    from training.runs.registry_gate import known_version
    from training.runs.run import frame_of, profiles_of_history, read_history
    from training.runs.terminal import progress, show_report

    data_set, settings = load(dataset), read_settings()
    chosen = data_set.recipe(recipe)
    bundle = read_bundle_of(known_version(version, settings), settings)
    path = history or _history_path(data_set, settings)
    with progress(console, _rows(path)) as listener:
        past, features = read_history(path, settings.tokens()), catalogue_of(bundle.contract)
        found_profiles = profiles or profiles_of_history(path)
        payments = frame_of(data_set, past, features, settings, recipe, found_profiles, not direct, listener)
    test = split_by_time(payments, chosen.split, data_set.delay).test
    report = judge(score_with(bundle, test), test, bundle.policy, chosen.costs, chosen.reviews_per_day)
    show_report(console, report, f"{bundle.model_name} on {data_set.name}", data_set.reference_currency)


@app.command()
def promote(
    version: str = typer.Option("challenger", help="Alias or number of the version."),
    despite: str | None = typer.Option(None, help="A reason to overrule the gate; kept with the version."),
) -> None:
    """Promote a version through the gate to champion and export it to the model store that serving reads."""
    from training.runs.registry_gate import promote as promote_version

    with waiting(console, "promoting"):
        settings = read_settings()
        done = promote_version(settings, version, despite)
    for objection in done.overruled:
        console.print(f"[yellow]overruled:[/yellow] {objection}")
    former = f", risk@{done.previous} is now previous" if done.previous else ""
    where = f"Bundle: {done.tag} in {settings.model_store}"
    console.print(f"risk@{done.version} is champion{former}. {where}", soft_wrap=True)


@app.command()
def nominate(version: str = typer.Option("challenger", help="Alias or number of the version.")) -> None:
    """Export a version to the model store as challenger: it scores alongside the champion and decides nothing."""
    from training.runs.registry_gate import nominate as nominate_version

    with waiting(console, "exporting"):
        settings = read_settings()
        tag = nominate_version(settings, version)
    hint = f"Serve it alongside the champion: RISKGATE_CHALLENGER={tag.partition(':')[0]}:latest"
    console.print(f"Bundle: {tag} in {settings.model_store}. {hint}", soft_wrap=True)


@app.command()
def bento() -> None:
    """Build a bento of the champion: one folder that `bentoml serve` serves on any machine."""
    from training.runs.bento import build

    with waiting(console, "building"):
        built = build(read_settings())
    folder = built.folder.resolve()

    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    say(f"{built.tag} with {built.model} lies in {folder}. Copied to any machine, it serves there:")
    say(f"  pip install --require-hashes -r {folder}/env/python/requirements.txt")
    say(f"  RISKGATE_VAR=FOLDER bentoml serve {folder} --host 127.0.0.1 --port 3000")
    say(f"  RISKGATE_VAR=FOLDER PYTHONPATH={folder}/src python -m serving --help")


@app.command()
def report(
    version: str = typer.Option("challenger", help="Alias or number of a registered version."),
    out: Path | None = typer.Option(None, help="Folder for the report and the plots of the run."),
) -> None:
    """Show the figures of a version's training run, and copy its report and plots."""
    from training.evaluation.report import EvaluationReport
    from training.runs.mlflow_log import files_of, read_bundle_of, version_of
    from training.runs.registry_gate import known_version
    from training.runs.terminal import show_report

    settings = read_settings()
    found = version_of(version, settings) or version_of("champion", settings) or known_version(version, settings)
    bundle = read_bundle_of(found, settings)
    with tempfile.TemporaryDirectory() as folder:
        kept = files_of(found, settings, out or Path(folder))
        measured = msgspec.json.decode((kept / "report.json").read_bytes(), type=EvaluationReport)
    currency = str(bundle.contract.parameters["reference_currency"])
    show_report(console, measured, f"{bundle.model_name} on {bundle.trained['dataset']}", currency)
    if out:
        console.print(f"Report and plots: {out}")


@app.command()
def handbook(
    data: Path = typer.Option(help="Folder that holds the Handbook's transactions.parquet."),
) -> None:
    """Train by the Handbook's protocols, send every test payment through the real service, and compare."""
    import time

    from training.demo.handbook import handbook as run_handbook
    from training.demo.handbook_page import show, write

    settings, began = read_settings(), time.monotonic()
    served = run_handbook(data, settings, console)
    show(console, served)
    write(settings.var / "handbook.json", served, time.monotonic() - began)
    if any(one.mismatches for one in served):
        raise typer.Exit(1)


@app.command()
def demo(
    port: int = typer.Option(3000, help="Port of the service."),
    console_port: int = typer.Option(3001, help="Port of the review console."),
    stop: bool = typer.Option(False, "--exit", help="Stop everything after printing."),
) -> None:
    """Simulate, train, promote, serve: everything once, on a small world, and keep serving."""
    from training.demo.demo import demo as start_demo
    from training.demo.demo import until_stopped
    from training.demo.page import show

    settings = read_settings()
    with start_demo(settings, port, console_port, console) as running:
        show(console, running, settings)
        if not stop:
            console.print("Serving until Ctrl-C.")
            until_stopped()


def _history_path(data_set: Dataset, settings: Settings) -> Path:
    if data_set.name == "world":
        return settings.var / "world"
    return settings.var / "history" / f"{data_set.name}.parquet"


def _rows(path: Path) -> int:
    from features.history.parquet import count_rows
    from training.simulator.manifest import read_manifest

    if path.is_dir():
        manifest = read_manifest(path)
        return manifest.payments if manifest else 0
    return count_rows(path) if path.is_file() else 0


def main() -> None:
    """Run the command line."""
    use_own_model_store()
    app()


if __name__ == "__main__":
    main()
