"""`make chaos`: every fault many times -> var/chaos.json. `python -m tests.chaos --help`."""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from tests.chaos.drill import Drill, drill_of
from tests.chaos.faults import KINDS, can_mount
from tests.serving.scoring_world import free_port, make_bundle

out = Console(stderr=True, highlight=False, soft_wrap=True)


def main(
    runs: int = typer.Option(5, help="how often each fault happens"),
    only: str = typer.Option("", help="names of faults, separated by commas"),
    port: int = typer.Option(0, help="port of the service; 0: a free one"),
    report: Path = typer.Option(Path("var/chaos.json")),
) -> None:
    """Let every fault happen under load and prove after each that nothing was lost."""
    chosen = [kind for kind in KINDS if not only or kind.name in only.split(",")]
    figures: dict[str, Any] = {}
    kept = True
    with tempfile.TemporaryDirectory(prefix="riskgate-chaos-") as folder:
        bundle = make_bundle(Path(folder) / "bundle")
        for kind in chosen:
            if kind.tmpfs and not can_mount():
                figures[kind.name] = {"runs": 0, "why": "needs the right to mount; file_limit stands in for it"}
                continue
            drill = drill_of(kind, Path(folder) / kind.name, bundle, port or free_port(), runs)
            figures[kind.name] = drill.figures()
            kept = kept and drill.kept
            out.print(told(drill), style=None if drill.kept else "red")
    write(report, {"embedded": {"at": datetime.now(UTC).isoformat(timespec="seconds"), "faults": figures}})
    out.print(f"Figures are in {report}.")
    if not kept:
        sys.exit(1)


def told(drill: Drill) -> str:
    """One fault in a line."""
    return (
        f"{drill.fault}: {drill.runs} runs, {drill.acknowledged:,} acknowledged, {drill.lost} lost, "
        f"{drill.doubled} doubled, {drill.state_mismatches} entities differ, {drill.verify_mismatches} mismatches "
        f"in {drill.verified:,} decisions, recovered in {max(drill.seconds_to_recover):.2f} s at worst"
    )


def write(report: Path, figures: dict[str, Any]) -> None:
    """Write the figures beside those of the other profile."""
    report.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(report.read_text()) if report.exists() else {}
    report.write_text(json.dumps(known | figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
