"""`python -m tests.bench`: riskgate beside the usual stitching and an empty endpoint, and what a payment costs it.

Parts (`--only closed,growth`): `closed` (side by side, closed loop), `open` (riskgate under offered loads), `stages`
(where the time goes), `growth` (cost over ever longer pasts), `replay`, `world` (bytes of state, training).
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from tests.bench import growth, machine, replay_speed, report, rounds, world_state
from tests.bench.inputs import bundle
from tests.bench.processes import servers
from tests.bench.processes.contenders import (
    Running,
    embedded,
    empty,
    fresh,
    on_redis,
    running,
    stitched,
    stitched_on_redis,
)
from tests.bench.stitched.comparison import compared

PARTS = ("closed", "open", "stages", "growth", "replay", "world")
OURS = ("embedded", "redis")
NAMES = ("stitched", "stitched_redis", "empty", *OURS)
NEEDS_SERVERS = ("stitched_redis", "redis")

Figures = dict[str, Any]


class Bench:
    """What one run works with, and the figures it gathers."""

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self.folder = folder
        self.say = say
        self.bundle = bundle.make(folder / "bundle")
        self.bodies = rounds.Bodies(folder)
        self.figures: Figures = {}

    def start(self, names: list[str], ending: contextlib.ExitStack) -> dict[str, Running]:
        """Every contender of these that can run here, running."""
        settings, database = {}, ""
        if any(name in NEEDS_SERVERS for name in names):
            if servers.are_here():
                settings, database = ending.enter_context(servers.private(fresh(self.folder / "redis")))
            else:
                self.say("There is no redis-server or PostgreSQL here: what needs them is left out.")
                names = [name for name in names if name not in NEEDS_SERVERS]
        started = {}
        for name in names:
            self.say(f"starting {name}")
            if name == "stitched":
                contender = stitched(self._stitched("sqlite"))
            elif name == "stitched_redis":
                contender = stitched_on_redis(self._stitched("redis", database), database)
            elif name == "empty":
                contender = empty()
            elif name == "embedded":
                contender = embedded(self.bundle, fresh(self.folder / "embedded"))
            else:
                contender = on_redis(self.bundle, fresh(self.folder / "production"), settings)
            started[name] = ending.enter_context(running(contender, self.folder / "logs"))
        return started

    def _stitched(self, store: str, database: str = "") -> Path:
        folder = self.folder / f"stitched-{store}"
        if database or not (folder / "model.txt").exists():
            fresh(folder)
            command = [sys.executable, "-m", "tests.bench.stitched.prepare", str(folder), "--redis", database]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        return folder

    def closed(self, ones: dict[str, Running], count: int, warm: float, seconds: float) -> None:
        """Side by side at 8 connections, then fewer rounds at 1 and 32."""
        seen = rounds.measure(ones.values(), self.bodies, count, 8, warm, seconds, self.say)
        self.figures |= compared({name: rounds.typical(runs) for name, runs in seen.items()})
        for connections in (1, 32):
            seen = rounds.measure(
                ones.values(), self.bodies, max(1, count // 2), connections, warm / 2, seconds / 2, self.say
            )
            for name, runs in seen.items():
                self.figures[name][f"connections_{connections}"] = rounds.typical(runs)

    def open(self, one: Running, count: int, seconds: float) -> None:
        """One of ours, alone on the machine, under a quarter to nine tenths of what it answers in a closed loop."""
        name = one.contender.name
        seen = rounds.measure([one], self.bodies, 2, 8, 1.0, 3.0, self.say)  # its files have grown by then
        own = self.figures.setdefault(name, rounds.typical(seen[name]))
        saturation = own["requests_per_second"]
        offered = rounds.offer(one, self.bodies, saturation, count, seconds, self.say)
        own["open_loop"] = {str(share): rounds.typical_open(runs) for share, runs in offered.items()}

    def stages(self) -> None:
        """The steps of the path, in a process of their own."""
        command = [sys.executable, "-m", "tests.bench.stages", str(self.bundle), str(fresh(self.folder / "stages"))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"the stages could not be measured:\n{done.stderr[-2000:]}")
        self.figures["stages"] = json.loads(done.stdout)


def main(
    var: Path = typer.Option(Path("var"), help="where bench.json and bench.md are written"),
    data: Path = typer.Option(
        Path("../shared/data/handbook_raw"), help="folder of the Handbook's payments, for replay"
    ),
    only: str = typer.Option(",".join(PARTS), help="parts, with commas between them"),
    contenders: str = typer.Option(",".join(NAMES), help="contenders, with commas between them"),
    count: int = typer.Option(4, "--rounds", help="interleaved rounds"),
    warm_seconds: float = typer.Option(1.5, help="before each measurement"),
    seconds: float = typer.Option(5.0, help="of each measurement"),
    open_seconds: float = typer.Option(8.0, help="of each offered load"),
    events: int = typer.Option(10_000_000, help="the longest past of `growth`"),
) -> None:
    """Measure, write var/bench.json and var/bench.md, and show the page; no figure fails the run."""
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then too
    parts, names = only.split(","), [name for name in NAMES if name in contenders.split(",")]
    unknown = sorted({*parts} - {*PARTS} | {*contenders.split(",")} - {*NAMES})
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: parts are {', '.join(PARTS)}; contenders {', '.join(NAMES)}.")
    bench = Bench(var / "bench", console.print)
    figures = bench.figures
    figures |= {"date": machine.date(), "machine": machine.machine(), "versions": machine.versions()}
    figures["load"] = {"connections": 8, "rounds": count, "seconds": seconds, "warm_seconds": warm_seconds}
    if "closed" in parts:
        with contextlib.ExitStack() as ending:
            bench.closed(bench.start(names, ending), count, warm_seconds, seconds)
    for name in [name for name in names if name in OURS and "open" in parts]:
        with contextlib.ExitStack() as ending:
            for one in bench.start([name], ending).values():
                bench.open(one, max(1, count // 2), open_seconds)
    if "stages" in parts:
        console.print("measuring the stages")
        bench.stages()
    if "growth" in parts:
        console.print("growing")
        sizes = {name: size for name, size in growth.SIZES.items() if size <= events}
        figures["growth"] = growth.measured(fresh(bench.folder / "growth"), bench.bundle, sizes=sizes)
        fresh(bench.folder / "growth")
    if "replay" in parts:
        console.print("replaying")
        figures["replay"] = replay_speed.measured(data, bench.folder)
    if "world" in parts:
        console.print("living through the default world")
        world = world_state.measured(0)
        figures["training"] = {name: world.pop(name) for name in world_state.TRAINING}
        figures["state"] = world
    var.mkdir(parents=True, exist_ok=True)
    (var / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    text = report.page(figures)
    (var / "bench.md").write_text(text)
    console.print(Markdown(text))


if __name__ == "__main__":
    typer.run(main)
