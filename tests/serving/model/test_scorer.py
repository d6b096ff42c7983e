"""The scorer gives the bits of LightGBM's margin and its exact contributions, and refuses a model it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from features.bundle.bundle import read_bundle
from features.catalogue.catalogue import catalogue_of
from features.errors import BrokenBundle
from serving.decision.reasons import Families
from serving.model.lightgbm_reference import Reference
from serving.model.scorer import TOLERANCE, Scorer
from serving.model.tree_tables import gauss_legendre

COLUMNS = 12
#: Every kind of tree that LightGBM grows and that is supported here: the width, then the parameters of the training.
KINDS: dict[str, dict[str, Any]] = {
    "as large as production allows": {"num_leaves": 31, "max_depth": 6, "num_boost_round": 120},
    "one split": {"num_leaves": 2, "num_boost_round": 7},
    "deep and narrow": {"num_leaves": 40, "max_depth": -1, "min_data_in_leaf": 1, "num_boost_round": 9},
    "no tree has a split": {"min_gain_to_split": 1e9, "num_boost_round": 3},
    "zero is missing": {"zero_as_missing": True, "num_leaves": 15, "num_boost_round": 20},
    "nothing is missing": {"use_missing": False, "num_leaves": 15, "num_boost_round": 20},
    "categories": {"categorical_feature": [0, 1], "num_leaves": 15, "num_boost_round": 20, "min_data_per_group": 5},
    "one feature alone": {"feature_fraction": 0.05, "num_leaves": 31, "num_boost_round": 10},
}


def rows(count: int, width: int, seed: int = 3) -> np.ndarray:
    """Values of all magnitudes and signs, missing ones, zeros, small whole numbers and infinities."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(3, 4, (count, width)) * rng.choice([1.0, -1.0], (count, width))
    values[:, :2] = rng.integers(-2, 70, (count, 2))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[rng.random(values.shape) < 0.2] = 0.0
    values[rng.random(values.shape) < 0.02] = np.inf
    values[rng.random(values.shape) < 0.02] = -np.inf
    return values


def trained(**parameters: Any) -> lightgbm.Booster:
    """A booster of one kind, on noise that depends on several columns."""
    count, categories = parameters.pop("num_boost_round"), parameters.pop("categorical_feature", [])
    values = np.clip(rows(3_000, COLUMNS, seed=5), -1e12, 1e12)
    values[:, :2] = np.abs(values[:, :2])
    filled = np.nan_to_num(values)
    odds = 1.0 * (filled[:, 0] % 7 > 3) + (filled[:, 2] > 0) * (filled[:, 3] > 10) - (filled[:, 1] % 5 == 2) - 0.7
    labels = np.random.default_rng(6).random(len(values)) < 1 / (1 + np.exp(-2 * odds))
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 1, **parameters}
    data = lightgbm.Dataset(values, labels.astype(float), categorical_feature=categories, params=settings)
    return lightgbm.train(settings, data, num_boost_round=count)


@pytest.fixture(scope="module", params=[*KINDS, "the bundle of these tests"])
def model_text(request: pytest.FixtureRequest, bundle: Path) -> str:
    if request.param in KINDS:
        return str(trained(**KINDS[request.param]).model_to_string())
    return read_bundle(bundle).model_text


def test_margins_are_bit_identical_to_the_booster(model_text: str) -> None:
    scorer = Scorer(model_text)
    values = rows(500, len(scorer.names))
    expected = lightgbm.Booster(model_str=model_text).predict(values, raw_score=True)
    assert [scorer.margin(row) for row in values] == list(expected)


def test_a_code_that_training_never_saw_is_scored_as_lightgbm_does() -> None:
    text = trained(**KINDS["categories"]).model_to_string()
    scorer, values = Scorer(text), rows(300, COLUMNS)
    values[:, 0] = np.resize(
        [70, 71, 95, 96, 128, 1_000, 2**31 - 1, 2.0**31, -1, -5, 3.7, np.nan], 300
    )  # 0..69 are known
    assert [scorer.margin(row) for row in values] == list(
        lightgbm.Booster(model_str=text).predict(values, raw_score=True)
    )
    unseen = np.repeat(rows(1, COLUMNS), 4, axis=0)
    unseen[:, 0] = [70, 95, 1_000, -1]
    assert len({scorer.margin(row) for row in unseen}) == 1, "one unseen code is like another"


def test_contributions_equal_the_boosters_and_sum_to_the_margin(model_text: str) -> None:
    scorer = Scorer(model_text)
    values = rows(200, len(scorer.names))
    expected = np.asarray(lightgbm.Booster(model_str=model_text).predict(values, pred_contrib=True))
    shares = np.array([scorer.contributions(row) for row in values])
    assert np.abs(shares - expected).max() < TOLERANCE
    assert shares.sum(axis=1) == pytest.approx([scorer.margin(row) for row in values], abs=TOLERANCE)


def test_contributions_have_the_same_bits_each_time(model_text: str) -> None:
    values = rows(20, len(Scorer(model_text).names))
    first, second = Scorer(model_text), Scorer(model_text)
    once = [first.contributions(row).tobytes() for row in values]
    assert once == [second.contributions(row).tobytes() for row in values[::-1]][::-1]


def test_the_reference_of_the_load_is_the_booster(model_text: str) -> None:
    width = len(Scorer(model_text).names)
    reference, booster = Reference(model_text, width), lightgbm.Booster(model_str=model_text)
    values = rows(50, width)
    assert [reference.margin(row) for row in values] == list(booster.predict(values, raw_score=True))
    shares = np.array([reference.contributions(row) for row in values])
    assert np.array_equal(shares, np.asarray(booster.predict(values, pred_contrib=True)))
    reference.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3"),
        ("is_linear=0", "is_linear=1"),
        ("feature_names=", "names="),
        ("leaf_value=", "leaf_values="),
        ("max_feature_idx=", "average_output\nmax_feature_idx="),
    ],
)
def test_a_model_that_is_not_walked_here_is_refused_with_a_repair(before: str, after: str) -> None:
    text = trained(**KINDS["one split"]).model_to_string()
    assert before in text
    with pytest.raises(BrokenBundle) as refused:
        Scorer(text.replace(before, after))
    assert refused.value.repair


class OtherMargins(Reference):
    def margin(self, row: Any) -> float:
        return 0.25


class OtherReasons(Reference):
    def contributions(self, row: Any) -> Any:
        return np.add(super().contributions(row), 0.25)


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [(OtherMargins, r"LightGBM scores a row 0\.25"), (OtherReasons, r"LightGBM explains a row with values 0\.25")],
)
def test_a_model_that_lightgbm_scores_otherwise_is_refused(reference: type[Reference], sentence: str) -> None:
    text = trained(**KINDS["one split"]).model_to_string()
    with pytest.raises(BrokenBundle, match=sentence):
        Scorer(text, reference=reference)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16])
def test_the_quadrature_is_exact_for_polynomials_up_to_its_degree(count: int) -> None:
    points, weights = gauss_legendre(count)
    for degree in range(2 * count):
        found = sum(w * t**degree for t, w in zip(points, weights, strict=True))
        assert found == pytest.approx(1 / (degree + 1), rel=1e-13)


def test_families_hold_all_of_the_contributions_strongest_first_and_only_what_raises(bundle: Path) -> None:
    known = catalogue_of(read_bundle(bundle).contract)
    codes = [feature.reason for feature in known.features]
    families = Families(known.names, codes, known.reasons)
    shares = np.random.default_rng(5).normal(size=len(known.names) + 1)
    reasons = families.strongest(shares, [0.0] * len(known.names))
    totals = {code: sum(s for s, c in zip(shares[:-1], codes, strict=True) if c == code) for code in set(codes)}
    wanted = sorted((t for t in totals.values() if t > 0), reverse=True)[:4]
    assert [one.contribution for one in reasons] == pytest.approx(wanted, abs=1e-5)
    assert all(known.features[known.index[one.feature]].reason == one.code for one in reasons if one.feature)


def test_nothing_is_left_to_compile_for_the_first_payment(bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from features.bundle.bundle import read_bundle; from features.catalogue.catalogue import catalogue_of\n"
        "from serving.decision.evaluator import Evaluator; from serving.decision import rules\n"
        "from serving.model import tree_shap\n"
        "bundle = read_bundle(Path(sys.argv[1])); Evaluator(bundle, catalogue_of(bundle.contract))\n"
        "for one in (rules.next_match, tree_shap.margin_of, tree_shap.add_contributions): assert one.signatures, one"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
