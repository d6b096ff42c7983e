"""How much state the default world leaves behind, and how fast a model is fitted on it.

A process of its own: `python -m tests.bench.world_state`. The world is simulated, folded whole, and the last of its
payments become the frame on which LightGBM is fitted with the default recipe, a
third of its trees.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time

import typer

from features.catalogue.catalogue import catalogue
from features.domain.payment import ENTITIES
from features.state.replay import fold
from training.data.frame import frame
from training.model.fit import fit
from training.recipe import ModelParameters
from training.simulator.parameters import World
from training.simulator.simulate import simulate

LEARNED_DAYS = 21
TREES = 100
#: The figures that are about training.
TRAINING = ("framed_per_second", "learned_rows", "trees", "fit_seconds", "fitted_rows_per_second")


def measured(payments: int) -> dict[str, object]:
    """What a process of its own measured; `payments` 0 means those of the default world."""
    command = [sys.executable, "-m", "tests.bench.world_state", "--payments", str(payments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"the world could not be measured:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))  # LightGBM talks before


def main(payments: int = typer.Option(0, help="0: as many as the default world has")) -> None:
    """Simulate, fold, fit; write what was measured as JSON."""
    world = World(payments=payments) if payments else World()
    known = catalogue()
    began = time.perf_counter()
    history = simulate(world).history
    simulated = time.perf_counter()
    state = fold(history, known)
    folded = time.perf_counter()
    since = dt.datetime.fromtimestamp(world.end_ms / 1000, dt.UTC) - dt.timedelta(days=LEARNED_DAYS)
    rows = frame(history, known, since=since)
    framed = time.perf_counter()
    parameters = ModelParameters(trees=TREES)
    model = fit(rows, rows.between(None, rows.payments["event_time"].iloc[0]), parameters, known)
    fitted = time.perf_counter()
    kinds = {name: len(records) for name, records in zip(ENTITIES, state.records, strict=True)}
    figures = {
        "payments": history.num_rows,
        "simulated_per_second": round(history.num_rows / (simulated - began)),
        "entities": state.entities(),
        "entities_by_kind": kinds,
        "bytes_per_entity": round(state.bytes_used() / state.entities()),
        "state_megabytes": round(state.bytes_used() / 1e6),
        "folded_per_second": round(history.num_rows / (folded - simulated)),
        "framed_per_second": round(history.num_rows / (framed - folded)),
        "learned_rows": len(rows),
        "trees": model.trees,
        "fit_seconds": round(fitted - framed, 2),
        "fitted_rows_per_second": round(len(rows) / (fitted - framed)),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    typer.run(main)
