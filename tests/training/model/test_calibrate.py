from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from features.bundle.bundle import Calibrator
from features.bundle.calibration import probabilities
from training.model.calibrate import SMALLEST_SLOPE, expected_calibration_error, platt, reliability


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(4, 300), st.floats(-3, 3), st.floats(1e-3, 1e3))
def test_calibration_never_changes_an_order(seed: int, n: int, skill: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    margins = random.normal(size=n) * scale
    fraud = random.random(n) < 1 / (1 + np.exp(-skill * margins / scale))
    fraud[0], fraud[1] = True, False
    slope, intercept = platt(margins, fraud)
    assert slope > 0 and np.isfinite(intercept)
    scores = probabilities(margins, slope, intercept)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores[np.argsort(margins)]) >= 0).all()


def test_it_finds_the_curve_that_made_the_labels() -> None:
    random = np.random.default_rng(3)
    margins = random.normal(-4, 2, 200_000)
    fraud = random.random(200_000) < 1 / (1 + np.exp(-(0.7 * margins + 0.4)))
    slope, intercept = platt(margins, fraud)
    assert slope == pytest.approx(0.7, abs=0.02) and intercept == pytest.approx(0.4, abs=0.06)
    other = LogisticRegression(C=np.inf).fit(margins[:, None], fraud)
    assert slope == pytest.approx(float(other.coef_[0, 0]), abs=2e-3)
    error = expected_calibration_error(reliability(probabilities(margins, slope, intercept), fraud))
    assert error is not None and error < 0.002


def some_margins(seed: int, n: int, skill: float, scale: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    margins = random.normal(size=n)
    fraud = random.random(n) < 1 / (1 + np.exp(2 - skill * margins))
    fraud[0], fraud[1] = True, False
    return margins * scale + shift, fraud


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(4, 400), st.floats(-2, 6), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_the_curve_is_the_likeliest_for_the_smoothed_targets(
    seed: int, n: int, skill: float, scale: float, shift: float
) -> None:
    margins, fraud = some_margins(seed, n, skill, scale, shift)
    slope, intercept = platt(margins, fraud)
    frauds, others = fraud.sum(), (~fraud).sum()
    error = probabilities(margins, slope, intercept) - np.where(fraud, (frauds + 1) / (frauds + 2), 1 / (others + 2))
    along = (error * (margins - margins.mean()) / margins.std()).sum()
    if slope > SMALLEST_SLOPE:  # the likelihood is concave: where its gradient is zero is its only maximum
        assert abs(error.sum()) < 1e-6 * n and abs(along) < 1e-6 * n
    else:
        assert intercept == pytest.approx(np.log((frauds + 1) / (others + 1)) - slope * margins.mean())


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.floats(1e-2, 1e2), st.floats(-50, 50))
def test_units_and_origin_of_the_margins_do_not_matter(seed: int, n: int, unit: float, origin: float) -> None:
    margins, fraud = some_margins(seed, n, 2.0, 1.0, 0.0)
    slope, intercept = platt(margins, fraud)
    other_slope, other_intercept = platt(margins * unit + origin, fraud)
    if min(slope, other_slope) > SMALLEST_SLOPE:
        assert other_slope * unit == pytest.approx(slope, rel=1e-6)
        assert other_intercept + other_slope * origin == pytest.approx(intercept, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("apart", [6, 3_000, 50_000])
def test_perfectly_separated_classes_still_have_a_finite_curve(apart: int) -> None:
    margins = np.linspace(-5, 5, apart)
    slope, intercept = platt(margins, margins > 4)
    assert np.isfinite([slope, intercept]).all() and slope > SMALLEST_SLOPE


def test_one_margin_for_all_says_how_common_fraud_is() -> None:
    fraud = np.arange(50) < 5
    slope, intercept = platt(np.full(50, 0.1), fraud)
    assert slope == SMALLEST_SLOPE
    assert probabilities(np.array([0.1]), slope, intercept)[0] == pytest.approx(6 / 52)


@pytest.mark.parametrize("fraud", [True, False])
def test_one_class_alone_cannot_be_calibrated(fraud: bool) -> None:
    with pytest.raises(ValueError, match="lengthen decide_days"):
        platt(np.linspace(-1, 1, 10), np.full(10, fraud))


def test_the_vector_of_probabilities_is_what_serving_computes_one_by_one() -> None:
    margins = np.linspace(-30, 30, 101)
    one = Calibrator(slope=0.8, intercept=-0.3)
    assert probabilities(margins, 0.8, -0.3).tolist() == [one.probability(m) for m in margins]


def test_a_model_that_ranks_backwards_is_flattened_but_not_turned_around() -> None:
    margins = np.linspace(-1, 1, 100)
    slope, intercept = platt(margins, margins < 0)
    scores = probabilities(margins, slope, intercept)
    assert slope > 0 and scores.max() - scores.min() < 0.01


def test_every_payment_is_in_exactly_one_bin() -> None:
    random = np.random.default_rng(5)
    scores = random.random(1000) ** 6
    table = reliability(scores, random.random(1000) < scores)
    assert sum(b.payments for b in table) == 1000
