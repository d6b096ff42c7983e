"""`make chaos`: every fault many times -> var/chaos.json. `python -m tests.chaos --help`."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from tests.chaos import faults, production_faults
from tests.chaos.drill import Drill, drill_of
from tests.chaos.production_rig import ProductionRig
from tests.chaos.rig import Rig
from tests.serving.scoring_world import make_bundle
from training.client.service_process import free_port

out = Console(stderr=True, highlight=False, soft_wrap=True)

Figures = dict[str, Any]


def main(
    runs: int = typer.Option(5, help="how often each fault happens"),
    only: str = typer.Option("", help="names of faults, separated by commas"),
    profile: str = typer.Option("both", help="embedded, production or both"),
    report: Path = typer.Option(Path("var/chaos.json")),
) -> None:
    """Let every fault happen under load and prove after each that nothing was lost."""
    kept = True
    with tempfile.TemporaryDirectory(prefix="riskgate-chaos-") as folder:
        bundle = make_bundle(Path(folder) / "bundle")
        for name, drills in (("embedded", embedded), ("production", production)):
            if profile not in (name, "both"):
                continue
            figures: Figures = {}
            for fault, drill in drills(Path(folder) / name, bundle, runs, only.split(",") if only else []):
                figures[fault] = drill if isinstance(drill, str) else drill.figures()
                if isinstance(drill, Drill):
                    kept = kept and drill.kept
                    out.print(f"{name} {told(drill)}", style=None if drill.kept else "red")
                write(report, {name: {"at": datetime.now(UTC).isoformat(timespec="seconds"), "faults": figures}})
    out.print(f"Figures are in {report}.")
    if not kept:
        sys.exit(1)


Drills = Iterator[tuple[str, Drill | str]]


def embedded(folder: Path, bundle: Path, runs: int, only: list[str]) -> Drills:
    """The faults of one process with its own ledger."""
    for kind in faults.KINDS:
        if only and kind.name not in only:
            continue
        if kind.tmpfs and not faults.can_mount():
            yield kind.name, "not run: needs the right to mount; file_limit stands in for it"
            continue
        rig = Rig(folder / kind.name, bundle, free_port(), tmpfs=kind.tmpfs, stepped=kind.stepped)
        with _ending(rig.end):
            yield kind.name, drill_of(kind.name, kind.happen, rig, runs)


def production(folder: Path, bundle: Path, runs: int, only: list[str]) -> Drills:
    """The faults of many workers and their servers."""
    for kind in production_faults.KINDS:
        if only and kind.name not in only:
            continue
        if shutil.which("redis-server") is None:
            yield kind.name, "not run: there is no redis-server here"
            continue
        rig = ProductionRig(folder / kind.name, bundle, kind.appendfsync)
        with _ending(rig.end):
            yield kind.name, drill_of(kind.name, kind.happen, rig, runs)


@contextlib.contextmanager
def _ending(end: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        end()


def told(drill: Drill) -> str:
    """One fault in a line."""
    return (
        f"{drill.fault}: {drill.runs} runs, {drill.acknowledged:,} acknowledged, {drill.lost} lost, "
        f"{drill.doubled} doubled, {drill.state_mismatches} entities differ, {drill.verify_mismatches} mismatches "
        f"in {drill.verified:,} decisions, recovered in {max(drill.seconds_to_recover):.2f} s at worst"
    )


def write(report: Path, figures: Figures) -> None:
    """Write the figures beside those of the other profile."""
    report.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(report.read_text()) if report.exists() else {}
    report.write_text(json.dumps(known | figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
