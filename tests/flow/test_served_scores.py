"""A trained model gives the same bits where it was trained and where it is served."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalogue.catalogue import catalogue
from serving.decision.evaluator import Evaluator
from tests.training.histories import small_history
from tests.training.runs.test_pipeline import DELAY, RECIPE
from training.data.frame import frame
from training.demo.handbook import _differences
from training.runs.pipeline import Trained, train


@pytest.fixture(scope="module")
def trained() -> Trained:
    known = catalogue()
    return train(frame(small_history(), known), known, RECIPE, DELAY)


@pytest.fixture(scope="module")
def served(trained: Trained) -> list[tuple[float, float]]:
    """Margin and score of each payment of the test, one by one, as the service computes them."""
    evaluator = Evaluator(trained.bundle("1", "run", "service"), trained.catalogue)
    return [evaluator.score(row) for row in trained.test.values]


def test_margins_and_scores_of_training_are_the_served_ones(
    trained: Trained, served: list[tuple[float, float]]
) -> None:
    assert len(served) > 500
    assert [margin for margin, _ in served] == trained.model.margins(trained.test).tolist()
    assert [score for _, score in served] == trained.test_scores.tolist()


def test_the_handbook_job_finds_one_bit_in_one_score(
    trained: Trained, served: list[tuple[float, float]], tmp_path: Path
) -> None:
    file = tmp_path / "vectors.parquet"
    scores: list[float | None] = [score for _, score in served]
    scores[7] = None  # decided below the full tier: counted elsewhere
    table = pa.table({
        "transaction_id": trained.test.payments["transaction_id"].astype(str).tolist(),
        "score": pa.array(scores, pa.float64()),
        "vector": pa.array(list(trained.test.values), pa.list_(pa.float64())),
    })  # fmt: skip
    pq.write_table(table, file)
    assert _differences(file, trained) == (0, 0)
    changed = trained.test_scores.copy()
    changed[11] = np.nextafter(changed[11], 1.0)
    assert _differences(file, dataclasses.replace(trained, test_scores=changed)) == (0, 1)
