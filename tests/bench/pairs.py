"""`python -m tests.bench.pairs --before FOLDER`: an earlier checkout beside this one, in interleaved pairs of one run.

Every contender is measured in each round; a ratio is that of two runs of one round, and the median of the ratios is
what counts, with the processor time a payment beside it. `make bench` compares with others; this with ourselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import typer
from rich.console import Console
from rich.table import Table

from tests.bench import machine, rounds
from tests.bench.inputs import bundle
from tests.bench.processes import servers
from tests.bench.processes.contenders import Contender, Running, bentoml_serve, embedded, fresh, on_redis, running
from tests.bench.rounds import Round
from tests.serving.bento.bento_world import BentoElsewhere, bento_with

SERVICE = "serving.service:Riskgate"
#: (what is looked at, what it is compared with).
RATIOS = (
    ("after", "before"),
    ("again", "after"),  # this code with itself: how much a ratio of this run may be off
    ("bento", "after"),
    ("ordinary", "after"),
    ("ordinary", "ordinary_before"),
    ("bentoml_workers", "shared_port"),
)


class Contenders:
    """The services of one run: a bundle from the same history for each checkout, a ledger for each service."""

    def __init__(self, folder: Path, before: Path | None, on_servers: bool) -> None:
        self.folder, self.before, self.on_servers = folder, before, on_servers
        self.bundle = bundle.make(folder / "bundle")

    def _bundle_of(self, name: str) -> Path:
        """An earlier checkout may not know the catalogue of today: it trains its own."""
        if self.before is None or not name.endswith("before"):
            return self.bundle
        made = self.folder / "bundle_before"
        code = f"from pathlib import Path; from tests.bench.inputs import bundle; bundle.make(Path({str(made)!r}))"
        environment = {**os.environ, "PYTHONPATH": str(self.before)}
        subprocess.run([sys.executable, "-c", code], cwd=self.before, env=environment, check=True)
        return made

    def named(self, name: str, ending: contextlib.ExitStack) -> Contender:
        """One contender by its name; servers of its own are ended with `ending`."""
        var = fresh(self.folder / name)
        if self.on_servers:
            settings, _ = ending.enter_context(servers.private(fresh(self.folder / f"{name}-redis")))
            base = on_redis(self._bundle_of(name), var, settings)
        else:
            base = embedded(self._bundle_of(name), var)
        base = replace(base, name=name, title=name, environment=base.environment | {"PYTHONPATH": str(Path.cwd())})
        earlier = {"PYTHONPATH": str(self.before)}
        if name == "before":
            return replace(base, environment=base.environment | earlier, cwd=self.before)
        if name == "ordinary_before":  # what `bentoml serve` did there: no fast path
            return replace(
                base, environment=base.environment | earlier, cwd=self.before, command=bentoml_serve(SERVICE)
            )
        if name == "ordinary":
            return replace(base, environment=base.environment | {"RISKGATE_FAST_PATH": "off"})
        if name == "bento":
            return self._bento(base)
        if name == "shared_port":  # two processes of ours behind one port, as `make up` has them
            one = (*base.command, "--share-port")
            return replace(base, command=one, beside=(*base.beside, one))
        if name == "bentoml_workers":  # two workers of BentoML's supervisor, which share its socket
            return replace(
                base, command=bentoml_serve(SERVICE), environment=base.environment | {"RISKGATE_WORKERS": "2"}
            )
        return base

    def _bento(self, base: Contender) -> Contender:
        made = fresh(self.folder / "bento-made")
        elsewhere = BentoElsewhere(bento_with(self.bundle, made).folder, made)
        command = (sys.executable, "-S", *bentoml_serve(str(elsewhere.folder))[1:])
        environment = {**elsewhere.environment, **base.environment, "PYTHONPATH": elsewhere.environment["PYTHONPATH"]}
        return replace(base, command=command, environment=environment, cwd=elsewhere.empty, beside=base.beside)


def ratios(seen: dict[str, list[Round]], one: str, other: str) -> Iterator[tuple[float, float]]:
    """(requests per second, processor time a payment) of `one` relative to `other`, pair by pair."""
    for a, b in zip(seen[one], seen[other], strict=True):
        yield a.load.requests_per_second / b.load.requests_per_second, a.cpu_us / b.cpu_us


def main(
    before: Path | None = typer.Option(None, help="a checkout of the code to compare with"),
    profile: str = typer.Option("embedded", help="embedded or redis"),
    names: str = typer.Option(
        "before,after",
        help="before, after, again, ordinary, ordinary_before, bento; redis: shared_port, bentoml_workers",
    ),
    count: int = typer.Option(7, "--pairs", help="interleaved pairs"),
    connections: int = typer.Option(8),
    warm_seconds: float = typer.Option(1.0),
    seconds: float = typer.Option(4.0),
    var: Path = typer.Option(Path("var"), help="where pairs-PROFILE.json is written"),
) -> None:
    """Measure, show the medians of the ratios and write them; no figure fails the run."""
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then too
    wanted = names.split(",")
    contenders = Contenders((var / "pairs").resolve(), None if before is None else before.resolve(), profile == "redis")
    bodies = rounds.Bodies(contenders.folder)
    with contextlib.ExitStack() as ending:
        ones: list[Running] = []
        for name in wanted:
            console.print(f"starting {name}")
            ones.append(ending.enter_context(running(contenders.named(name, ending), (contenders.folder / "logs"))))
        seen = rounds.measure(ones, bodies, count, connections, warm_seconds, seconds, console.print)
    table = Table("compared", "requests/s, median of the ratios", "lowest", "highest", "processor time a payment")
    found = {}
    for one, other in RATIOS:
        if one in seen and other in seen:
            rates, costs = zip(*ratios(seen, one, other), strict=True)
            found[f"{one}/{other}"] = {"rate": median(rates), "rates": rates, "cpu": median(costs)}
            row = (median(rates), min(rates), max(rates), median(costs))
            table.add_row(f"{one} / {other}", *(f"{value:.3f}" for value in row))
    console.print(table)
    figures = {
        "date": machine.date(),
        "machine": machine.machine(),
        "ratios": found,
        "contenders": {name: rounds.typical(runs) for name, runs in seen.items()},
    }
    (var / f"pairs-{profile}.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
