"""Margin and exact contributions of one feature vector: bit-identical to LightGBM in a fraction of its time.

At load, rows that reach many leaves are scored by both; a model with different scores is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from features.errors import BrokenBundle
from serving.model.lightgbm_reference import Reference
from serving.model.tree_shap import FEATURE_MASK, LANES, add_contributions, margin_of
from serving.model.tree_tables import paths_of, read_forest

Vector = npt.NDArray[np.float64]

PROBES, EXPLAINED_PROBES = 64, 4
#: Largest difference of a contribution from LightGBM's, log-odds: rounding only.
TOLERANCE = 1e-9


class Scorer:
    """A model ready to score one row at a time; not thread-safe (calls share scratch).

    Raises: BrokenBundle for a model that cannot be read or that LightGBM scores differently.
    """

    def __init__(self, model_text: str, *, reference: Callable[[str, int], Reference] = Reference) -> None:
        """`reference` opens LightGBM's own scorer of a model text with that many columns."""
        forest = read_forest(model_text)
        paths = paths_of(forest)
        self.names = forest.names
        self.expected = paths.expected
        self._row = np.zeros(len(self.names))
        self._walk = (forest.nodes, forest.values, forest.roots, forest.depths, forest.sets, forest.bits, self._row)
        self._trees = (forest.nodes, forest.values, forest.roots, forest.sets, forest.bits, *paths[:5])
        self._lanes = [
            (paths.points[first : first + LANES], paths.weights[first : first + LANES])
            for first in range(0, len(paths.points), LANES)
        ]
        largest = int(np.diff(forest.roots.astype(np.int64)).max(initial=1))
        self._room = np.zeros((5, LANES * (largest + 1)))
        self._compare(reference(model_text, len(self.names)))

    def margin(self, vector: Vector) -> float:
        """The raw score (log-odds before calibration) of one feature vector, float64[columns]."""
        return margin_of(*self._walk, vector)

    def contributions(self, vector: Vector) -> Vector:
        """Exact SHAP values in log-odds, float64[columns + 1]; the last is the expected value."""
        out = np.zeros(len(self.names) + 1)
        for points, weights in self._lanes:
            add_contributions(*self._trees, points, weights, self._row, self._room, vector, out)
        out[-1] = self.expected
        return out

    def _compare(self, reference: Reference) -> None:
        try:
            for place, row in enumerate(self._probes()):
                margin, wanted = self.margin(row), reference.margin(row)
                repair = "Train with the pinned version of LightGBM, and report this model."
                if margin != wanted:
                    raise BrokenBundle(f"LightGBM scores a row {wanted!r} that is {margin!r} here.", repair)
                if place < EXPLAINED_PROBES:
                    apart = float(np.abs(self.contributions(row) - reference.contributions(row)).max())
                    if not apart < TOLERANCE:
                        raise BrokenBundle(f"LightGBM explains a row with values {apart!r} from those here.", repair)
        finally:
            reference.close()

    def _probes(self) -> npt.NDArray[np.float64]:
        """Rows on both sides of the model's own thresholds, and with missing values; deterministic."""
        nodes, values = self._walk[0], self._walk[1]
        source = np.random.default_rng(7)
        rows = np.zeros((PROBES, len(self.names)))
        features = (nodes & FEATURE_MASK).astype(np.int64)
        for _ in range(2 * len(self.names)):
            node = source.integers(0, len(nodes), PROBES)
            rows[np.arange(PROBES), features[node]] = values[node]
        rows += source.choice([0.0, 0.0, 1e-3, -1e-3, 1.0, -1.0], rows.shape)
        rows[source.random(rows.shape) < 0.2] = np.nan
        return rows
