"""`python -m tests.bench`: riskgate beside the usual stitching and an empty endpoint, and the speed of replay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.markdown import Markdown

from tests.bench import bundle, machine, replay_speed, report, rounds
from tests.bench.contenders import Contender, embedded, empty, fresh, stitched

NAMES = ("stitched", "empty", "embedded")


def prepared(name: str, folder: Path) -> Contender:
    """The contender, with everything on disk that it needs."""
    if name == "stitched":
        if not (folder / "stitched" / "model.txt").exists():
            fresh(folder / "stitched")
            command = [sys.executable, "-m", "tests.bench.stitched.prepare", str(folder / "stitched")]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        return stitched(folder / "stitched")
    if name == "empty":
        return empty()
    return embedded(bundle.make(folder / "bundle"), fresh(folder / "embedded"))


def main(
    var: Path = typer.Option(Path("var"), help="where bench.json and bench.md are written"),
    data: Path = typer.Option(
        Path("../shared/data/handbook_raw"), help="folder of the Handbook's payments, for replay"
    ),
    only: str = typer.Option(",".join(NAMES), help="contenders, with commas between them"),
    count: int = typer.Option(4, "--rounds", help="interleaved rounds"),
    connections: int = typer.Option(8),
    warm_seconds: float = typer.Option(2.0, help="before each measurement"),
    seconds: float = typer.Option(8.0, help="of each measurement"),
    replay: bool = typer.Option(True, help="measure the replay too"),
) -> None:
    """Measure side by side, write var/bench.json and var/bench.md, and show the page; no figure fails the run."""
    console = Console()
    wanted = [name for name in NAMES if name in only.split(",")]
    folder = var / "bench"
    result: report.Figures = {"date": machine.date(), "machine": machine.machine(), "versions": machine.versions()}
    result["load"] = {"connections": connections, "rounds": count, "seconds": seconds, "warm_seconds": warm_seconds}
    contenders = []
    for name in wanted:
        console.print(f"preparing {name}")
        contenders.append(prepared(name, folder))
    seen = rounds.measure(contenders, folder, count, connections, warm_seconds, seconds, console.print)
    result |= report.compared({name: rounds.typical(runs) for name, runs in seen.items()})
    for name, runs in seen.items():
        for run in runs:
            if run.example:
                console.print(f"[red]{name} answered with an error:[/] {run.example[:400]}")
                break
    if replay:
        console.print("replaying")
        result["replay"] = replay_speed.measured(data, folder)
    (var / "bench.json").write_text(json.dumps(result, indent=2) + "\n")
    text = report.page(result, {contender.name: contender.title for contender in contenders})
    (var / "bench.md").write_text(text)
    console.print(Markdown(text))


if __name__ == "__main__":
    typer.run(main)
