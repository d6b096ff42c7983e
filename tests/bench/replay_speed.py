"""How fast the kernel replays a history, whole catalogue, and what memory it takes.

A process of its own, so that its peak memory is that of the replay: `python -m tests.bench.replay_speed --help`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import typer

from features.catalogue.catalogue import Catalogue, catalogue
from features.state.replay import fold, replay_to_parquet
from tests.bench.inputs.bundle import history
from tests.bench.inputs.payments import START


def dataset_of(name: str) -> Catalogue:
    """The catalogue under which a data set is replayed."""
    if name == "synthetic":
        return catalogue()
    from training.data.source_map import load

    return catalogue(load(name).catalogue_parameters())


def write_source(data: Path, target: Path) -> str:
    """Write the Handbook's payments when they are there, else a synthetic history; the data set's name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if (data / "transactions.parquet").exists():
        from training.data.ingest import write_history
        from training.data.source_map import load

        write_history(load("handbook"), data, target)
        return "handbook"
    pq.write_table(history(catalogue(), 100_000, 5, START - timedelta(days=3)), target)
    return "synthetic"


def measured(data: Path, folder: Path) -> dict[str, object]:
    """What a process of its own measured on the best history there is."""
    source = folder / "history.parquet"
    name = write_source(data, source)
    command = [sys.executable, "-m", "tests.bench.replay_speed", str(source), "--dataset", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    source.unlink()
    if done.returncode:
        raise RuntimeError(f"the replay failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def peak_gigabytes() -> float:
    """Peak resident memory of this process, GB."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024) / 1e9


def main(source: Path, dataset: str = typer.Option("synthetic", help="whose catalogue to use")) -> None:
    """Replay once after compilation, parquet in and parquet out, and write what was measured as JSON."""
    known = dataset_of(dataset)
    fold(pq.read_table(source).slice(0, 1000), known)  # compiles the kernel
    with tempfile.TemporaryDirectory() as name:
        before, start = time.process_time(), time.perf_counter()
        events = replay_to_parquet(source, Path(name) / "features.history.parquet", known)
        seconds, cpu = time.perf_counter() - start, time.process_time() - before
    peak = peak_gigabytes()
    start = time.perf_counter()
    state = fold(pq.read_table(source), known)
    fold_seconds = time.perf_counter() - start
    entities = state.entities()
    figures = {
        "dataset": dataset,
        "payments": events,
        "features": len(known.names),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "payments_per_second": round(events / seconds),
        "peak_gigabytes": round(peak, 2),
        "state_only_seconds": round(fold_seconds, 2),
        "entities": entities,
        "state_bytes_per_entity": round(state.bytes_used() / max(entities, 1)),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    typer.run(main)
