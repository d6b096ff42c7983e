"""Commands of the simulated world: simulate it, evaluate detection on it, run the load test of 11/11."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from features.errors import InvalidDeclaration
from training.settings import read_settings
from training.simulator.parameters import World, days_between

USUAL = World()
STORY = typer.Option(
    None,
    "--story",
    help="A story that happens, with its own first day if wanted: 'mule' or 'mule=2026-09-01'; none: all nine.",
)


def simulate(
    out: Path | None = typer.Option(None, help="Folder of the world; default: world below var."),
    payments: int = typer.Option(USUAL.payments, help="How many payments."),
    payers: int = typer.Option(USUAL.payers, help="How many people pay."),
    start: str = typer.Option(USUAL.start.isoformat(), help="First day."),
    end: str | None = typer.Option(None, help=f"Last day; default: {USUAL.days} days in all."),
    seed: int = typer.Option(USUAL.seed, help="The same seed and parameters give the same payments, to the bit."),
    fraud_share: float = typer.Option(USUAL.fraud_share, help="Share of fraud while every story runs."),
    stores: int = typer.Option(USUAL.stores, help="Offline stores with a QR code."),
    typology: list[str] = STORY,
    typologies: bool = typer.Option(True, "--stories/--no-stories", help="Whether there is any fraud."),
    festival: bool = typer.Option(True, "--festival/--no-festival", help="Whether 11/11 and smaller sales happen."),
    adapts: bool = typer.Option(True, "--adapts/--no-adapts", help="Whether fraud changes after it was declined."),
    profiles: bool = typer.Option(True, "--profiles/--no-profiles", help="Write what is known of the parties too."),
    fresh: bool = typer.Option(False, "--fresh", help="Remove what the folder holds and begin again."),
) -> None:
    """Simulate the payment world; continues what an interrupted run has written."""
    from training.simulator import storage

    world = world_of(
        payments, payers, start, end, seed, fraud_share, stores, tuple(typology or ()), typologies, festival, adapts
    )
    console, folder = Console(), out or read_settings().var / "world"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        bar = bars.add_task("payments", total=world.payments)
        manifest = storage.write_world(world, folder, fresh, lambda count: bars.advance(bar, count))
    if profiles and not (folder / storage.PROFILES).is_file():
        with console.status("writing what is known of the parties"):
            storage.write_profiles(folder)
    console.print(
        f"{manifest.payments:,} payments of {world.days} days, world {manifest.world} {manifest.digest[:12]}: {folder}"
    )
    console.print("Simulated: it proves that the machinery works, not how much real fraud would be found.")


def evaluate_world(
    world: Path | None = typer.Option(None, help="Folder of a written world; default: world below var, made if absent"),
    small: bool = typer.Option(False, "--small", help="A small world of its own: a quick look, wider intervals."),
    trees: int | None = typer.Option(None, help="Trees of the model; default: what the data set's recipe says."),
) -> None:
    """Evaluate detection on the simulated world: by story and segment, out of time, compared with baselines."""
    from training.detection_report.run import evaluate_world as judge

    judge(world, small, trees, read_settings(), Console())


def festival(
    small: bool = typer.Option(False, "--small", help="A small town's night: a quick look."),
    trees: int | None = typer.Option(None, help="Trees of the model; default: what the data set's recipe says."),
) -> None:
    """Rehearse the night of 11/11 against the real service, open loop, compared with a normal day."""
    from training.load_test.page import write_report as write
    from training.load_test.rehearsal import rehearse

    console, settings = Console(), read_settings()
    rehearsal = rehearse(settings, console, small, trees)
    write(rehearsal, settings.var, console)


def world_of(
    payments: int, payers: int, start: str, end: str | None, seed: int, fraud_share: float, stores: int,
    typology: tuple[str, ...], typologies: bool, festival: bool, adapts: bool,
) -> World:  # fmt: skip
    """The world with these command-line options.

    Raises:
        InvalidDeclaration: every invalid parameter, each with its repair.
    """
    problems: list[str] = []
    first = _date(start, "start", problems) or USUAL.start
    last = _date(end, "end", problems) if end else None
    names, starts = [], {}
    for word in typology:
        name, _, day = word.partition("=")
        names.append(name)
        date = _date(day, f"story {name}", problems) if day else None
        if date:
            starts[name] = date
    world = World(
        payments=payments, payers=payers, start=first, days=days_between(first, last) if last else USUAL.days,
        seed=seed, fraud_share=fraud_share, stores=stores, festival=festival, adapts=adapts,
        typologies=() if not typologies else tuple(names) or USUAL.typologies, typology_starts=starts,
    )  # fmt: skip
    problems += world.problems()
    if problems:
        raise InvalidDeclaration(problems)
    return world


def _date(text: str, what: str, problems: list[str]) -> dt.date | None:
    try:
        return msgspec.convert(text, dt.date, strict=False)
    except msgspec.ValidationError:
        problems.append(f"{what} {text!r} is no date: write it as 2026-11-11.")
        return None
