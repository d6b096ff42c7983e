"""Whether the commands that walk the ledger in PostgreSQL cost the same for each payment, however long the ledger is.

`python -m tests.bench.ledger_walk` makes a Redis and a PostgreSQL of its own, fills a database with real payments
(tests/bench/inputs/ledger_copies.py), runs each command at every size in a process of its own, and drops all of it. It
prints a table and judges nothing: other work on the machine disturbs seconds, less so the ratio.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from serving.audit.export_history import export
from serving.audit.export_vectors import export_vectors
from serving.audit.verify import verify_ledger
from serving.cases import party_index
from serving.cases.postgres import PostgresCases
from serving.engine.clustered.rebuild import compare, rebuild
from serving.engine.clustered.runtime import warm_up
from serving.ledger.postgres.ledger import PostgresLedger
from serving.redis_store.keys import Keys
from serving.redis_store.server_checks import redis_client
from serving.settings import Settings, read_settings
from serving.state import startup
from tests.bench.inputs import bundle, ledger_copies
from tests.bench.processes import servers
from tests.serving.servers import Servers

COMMANDS = ("rebuild", "check", "verify", "export-history", "export-vectors", "index")
PREFIX = "walk"

Figures = dict[str, Any]


#: What is measured of a command: it runs and says what it found.
Work = Callable[[], str]


def _rebuild(settings: Settings, folder: Path) -> Work:
    opened, ledger = startup.open_bundle(folder, settings.ledger), PostgresLedger(settings.ledger)
    warm_up(opened)
    client = redis_client(settings.redis_url)
    client.delete(Keys(settings.redis_prefix).contract)  # without it there is no worker to wait for
    client.close()
    return lambda: f"{rebuild(settings.redis, ledger, settings.ledger.segments, opened.catalogue).entities:,} entities"


def _check(settings: Settings, folder: Path) -> Work:
    opened, ledger = startup.open_bundle(folder, settings.ledger), PostgresLedger(settings.ledger)
    warm_up(opened)
    return lambda: f"{compare(settings.redis, ledger, settings.ledger.segments, opened.catalogue).differing:,} differ"


def _verify(settings: Settings, folder: Path) -> Work:
    warm_up(startup.open_bundle(folder, settings.ledger))

    def work() -> str:
        result = verify_ledger(settings.ledger)
        return f"{result.vectors:,} vectors, {result.mismatches:,} differ"

    return work


def _export_history(settings: Settings, folder: Path) -> Work:
    return lambda: f"{export(settings.ledger, folder.with_name('history.parquet')):,} rows"


def _export_vectors(settings: Settings, folder: Path) -> Work:
    return lambda: f"{export_vectors(settings.ledger, folder.with_name('vectors.parquet')):,} rows"


def _index(settings: Settings, folder: Path) -> Work:
    path = folder.with_name("index.sqlite")
    path.unlink(missing_ok=True)

    def work() -> str:
        folded = 0
        with PostgresCases(settings.ledger).opened() as ledger, contextlib.closing(party_index.connect(path)) as index:
            while count := party_index.catch_up(index, ledger, party_index.BULK_SLICES):
                folded += count
        return f"{folded:,} payments"

    return work


WORK: dict[str, Callable[[Settings, Path], Work]] = dict(
    zip(COMMANDS, (_rebuild, _check, _verify, _export_history, _export_vectors, _index), strict=True)
)


def measured(command: str, environment: dict[str, str], folder: Path, most_seconds: float) -> Figures | None:
    """What a process of its own measured; None when it took too long."""
    arguments = [sys.executable, "-m", "tests.bench.ledger_walk", "--one", command, "--folder", str(folder)]
    try:
        done = subprocess.run(
            [*arguments, "--environment", json.dumps(environment)],
            capture_output=True, text=True, timeout=most_seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise RuntimeError(f"`{command}` failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def one_command(command: str, environment: dict[str, str], folder: Path) -> Figures:
    """Run one command in this process: seconds, processor seconds of it and the servers, memory, its result."""
    settings = read_settings(environment)
    work, processes = WORK[command](settings, folder), server_processes(settings)
    began, worked = time.monotonic(), time.process_time() + cpu_seconds(processes)
    said = work()
    return {
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() + cpu_seconds(processes) - worked,
        "peak_megabytes": peak_megabytes(),
        "said": said,
    }


def server_processes(settings: Settings) -> list[int]:
    """Redis, and the PostgreSQL process whose children do the work."""
    client = redis_client(settings.redis_url)
    found = [int(client.info("server")["process_id"])]
    client.close()
    with psycopg.connect(settings.postgres_url) as one:
        row = one.execute("SHOW data_directory").fetchone()
    assert row is not None
    return [*found, int((Path(row[0]) / "postmaster.pid").read_text().split()[0])]


def cpu_seconds(processes: list[int]) -> float:
    """What these processes and their children, ended ones included, have spent on a processor."""
    ticks, parents = 0, set(processes)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()  # from the third one on: the second may hold blanks
            if int(path.parent.name) in parents:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) in parents:
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_megabytes() -> float:
    """The most memory that this program held; `ru_maxrss` would count what its parent held when it was forked."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def table_of(command: str, rows: list[tuple[int, Figures | None]]) -> Table:
    """Every size of one command beside the first one."""
    table = Table(title=command, title_justify="left")
    for name in ("payments", "seconds", "µs/payment", "ratio", "CPU µs/payment", "ratio", "peak MB", "it said"):
        table.add_column(name, justify="left" if name == "it said" else "right")
    first: tuple[float, float] | None = None
    for count, figures in rows:
        if figures is None:
            table.add_row(f"{count:,}", "too long")
            continue
        wall, cpu = (figures[name] / count * 1e6 for name in ("seconds", "cpu_seconds"))
        first = first or (wall, cpu)
        table.add_row(
            f"{count:,}", f"{figures['seconds']:.1f}", f"{wall:.1f}", f"{wall / first[0]:.2f}", f"{cpu:.1f}",
            f"{cpu / first[1]:.2f}", f"{figures['peak_megabytes']:.0f}", figures["said"],
        )  # fmt: skip
    return table


def run(sizes: list[int], commands: list[str], source: int, rounds: int, most_seconds: float, say: Console) -> None:
    """Fill, measure every command at every size, print the tables."""
    folder = Path(tempfile.mkdtemp(prefix="riskgate-walk-"))
    found: dict[str, list[tuple[int, Figures | None]]] = {name: [] for name in commands}
    try:
        model = bundle.make(folder / "bundle")
        with servers.private(folder / "redis") as (urls, _):
            here = Servers(urls["RISKGATE_REDIS_URL"], urls["RISKGATE_POSTGRES_URL"], PREFIX)
            environment = here.environment | {"RISKGATE_VAR": str(folder / "var"), "RISKGATE_CLOCK": "replay"}
            ledger_copies.make_source(here, model, folder, source)
            for size in sizes:
                seconds = ledger_copies.repeat(here, size // source)
                say.print(f"{size:,} payments are there after {seconds:.0f} s")
                for name in commands:
                    tries = [measured(name, environment, model, most_seconds) for _ in range(rounds)]
                    done = [one for one in tries if one is not None]
                    figures = min(done, key=lambda one: float(one["seconds"])) if done else None
                    found[name].append((size, figures))
                    say.print(f"{name}: {'too long' if figures is None else round(figures['seconds'], 1)}")
            with psycopg.connect(here.postgres_url) as one:
                row = one.execute("SELECT pg_size_pretty(pg_database_size(current_database()))").fetchone()
            say.print(f"the database: {row[0] if row else '?'}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, rows in found.items():
        say.print(table_of(name, rows))


def main(
    sizes: Annotated[str, typer.Option(help="Payments, smallest first.")] = "100000,1000000",
    only: Annotated[str, typer.Option(help=f"Of {', '.join(COMMANDS)}.")] = ",".join(COMMANDS),
    source: Annotated[int, typer.Option(help="Payments that are scored; the rest repeats them.")] = 5_000,
    rounds: Annotated[int, typer.Option(help="Runs of a command; the quickest counts.")] = 1,
    most_seconds: Annotated[float, typer.Option(help="When a command is given up.")] = 1_800,
    one: Annotated[str, typer.Option(hidden=True)] = "",
    folder: Annotated[Path, typer.Option(hidden=True)] = Path(),
    environment: Annotated[str, typer.Option(hidden=True)] = "{}",
) -> None:
    """Measure time for each payment of the commands that walk the ledger, at several sizes."""
    if one:
        sys.stdout.write(json.dumps(one_command(one, json.loads(environment), folder)) + "\n")
        return
    numbers = [int(size) for size in sizes.split(",")]
    if any(size % source for size in numbers):
        raise typer.BadParameter(f"each size must be a multiple of the source, {source:,}")
    run(numbers, only.split(","), source, rounds, most_seconds, Console())


if __name__ == "__main__":
    typer.run(main)
