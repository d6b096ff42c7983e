"""Prepare the stitched contender once: `python -m tests.bench.stitched.prepare FOLDER`."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import typer

from tests.bench.stitched.features import NAMES, build


def train(folder: Path, seed: int = 7) -> None:
    """A booster of the same size as ours: 300 trees, 31 leaves, depth 6."""
    rng = np.random.default_rng(seed)
    rows = rng.gamma(1.5, 30.0, (20_000, len(NAMES)))
    odds = 0.02 * (rows[:, 1] - rows[:, 13] + rng.normal(0, 30, len(rows))) - 2
    labels = rng.random(len(rows)) < 1 / (1 + np.exp(-odds))
    parameters = {
        "objective": "binary",
        "num_leaves": 31,
        "max_depth": 6,
        "learning_rate": 0.05,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(rows, label=labels.astype(float), feature_name=list(NAMES))
    lightgbm.train(parameters, data, num_boost_round=300).save_model(folder / "model.txt")


def main(folder: Path, redis: str = typer.Option("", help="URL of the online store's Redis; else SQLite")) -> None:
    """Materialise the features and train the model."""
    build(folder, redis_url=redis)
    train(folder)


if __name__ == "__main__":
    typer.run(main)
