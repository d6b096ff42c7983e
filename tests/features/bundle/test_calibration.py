"""The score of a margin is one number: served alone, computed for a whole training set, or written years ago."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.bundle.calibration import Floats, probabilities, probability

#: Where a curve could go wrong: both zeros, the smallest and largest values, and where exp underflows or saturates.
EXTREMES = (
    *(0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1e-300, -1e-300, 1.7976931348623157e308, -1e308),
    *(math.inf, -math.inf, math.nan, -math.nan, 709.0, 709.8, -709.8, 745.0, -745.2, -746.0, 36.7, 37.5, -37.5),
)
any_float = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


def served_before(margin: float, slope: float, intercept: float) -> float:
    """The formula of the receipts that lie in ledgers: their scores must come out the same for ever."""
    z = slope * margin + intercept
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def bits(values: list[float] | Floats) -> list[int]:
    return np.asarray(values, np.float64).view(np.int64).tolist()


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (1.1, -0.2), (0.001, -7.5), (0.7312, 3.25), (1e3, 1e-3)])
def test_two_million_margins_have_the_bits_of_the_served_score(slope: float, intercept: float) -> None:
    random = np.random.default_rng(17)
    patterns = random.integers(-(2**63), 2**63 - 1, 20_000, np.int64).view(np.float64)  # any float64, NaN included
    margins = np.concatenate([random.normal(-4, 3, 300_000), random.uniform(-800, 800, 80_000), patterns, EXTREMES])
    alone = [probability(margin, slope, intercept) for margin in margins.tolist()]
    assert bits(probabilities(margins, slope, intercept)) == bits(alone)
    ordinary = margins[~np.isnan(margins)].tolist()
    assert bits([probability(one, slope, intercept) for one in ordinary]) == bits(
        [served_before(one, slope, intercept) for one in ordinary]
    )


@given(arrays(np.float64, st.integers(0, 40), elements=any_float), any_float, any_float)
@example(np.array(EXTREMES), 1.0, 0.0)
@example(np.array(EXTREMES), math.inf, -math.inf)
def test_no_margin_and_no_curve_tells_the_two_forms_apart(margins: Floats, slope: float, intercept: float) -> None:
    together = probabilities(margins, slope, intercept)
    alone = np.array([probability(one, slope, intercept) for one in margins.tolist()], np.float64)
    known = ~np.isnan(alone)
    assert bits(together[known]) == bits(alone[known])
    assert np.isnan(together[~known]).all()
    assert ((together[known] >= 0.0) & (together[known] <= 1.0)).all()


@pytest.mark.parametrize("margins", [np.arange(12.0)[::3], np.arange(12.0)[::-1], np.float32([0.1, -0.2])])
def test_the_way_an_array_lies_in_memory_changes_nothing(margins: Floats) -> None:
    alone = [probability(one, 0.9, -0.1) for one in margins.tolist()]
    assert bits(probabilities(margins, 0.9, -0.1)) == bits(alone)
