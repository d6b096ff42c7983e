from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from features.bundle.bundle import Calibrator
from features.bundle.calibration import probabilities
from training.model.calibrate import expected_calibration_error, platt, reliability


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
