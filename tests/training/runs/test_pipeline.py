"""The whole paragraph on a small history: it learns what is there, and shows what is not."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from features.catalogue.catalogue import Catalogue, catalogue
from features.errors import InvalidDeclaration
from tests.training.histories import small_history
from training.data.frame import Frame, frame
from training.model.fit import fit
from training.model.split import split_by_time
from training.recipe import ModelParameters, Recipe, SplitPlan
from training.runs.pipeline import Trained, train
from training.runs.registry_gate import TOO_GOOD_AVERAGE_PRECISION

DELAY = dt.timedelta(days=7)
RECIPE = Recipe(
    split=SplitPlan(test_days=10, decide_days=8, tune_days=6),
    model=ModelParameters(trees=60, leaves=15, depth=4, rows_per_leaf=20, learning_rate=0.1, threads=1),
    reviews_per_day=10,
)


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return catalogue()


@pytest.fixture(scope="module")
def payments(known: Catalogue) -> Frame:
    return frame(small_history(), known)


@pytest.fixture(scope="module")
def trained(payments: Frame, known: Catalogue) -> Trained:
    return train(payments, known, RECIPE, DELAY)


def _relabelled(payments: Frame, fraud: np.ndarray) -> Frame:
    return replace(payments, payments=payments.payments.assign(reported_fraud=fraud, is_fraud=fraud))


def test_it_learns_what_the_history_tells(trained: Trained) -> None:
    assert trained.report.auc is not None and trained.report.auc > 0.7
    assert trained.report.average_precision is not None
    assert trained.report.average_precision > 5 * trained.report.frauds / trained.report.payments
    assert trained.report.cost_minor < trained.report.cost_without_scoring_minor


def test_shuffled_labels_teach_nothing(payments: Frame, known: Catalogue) -> None:
    shuffled = np.random.default_rng(1).permutation(payments.fraud)
    report = train(_relabelled(payments, shuffled), known, RECIPE, DELAY).report
    assert report.auc is not None and 0.42 < report.auc < 0.58


def test_a_leak_planted_on_purpose_is_exposed(payments: Frame, known: Catalogue) -> None:
    place = known.index["local_hour"]
    values = payments.values.copy()
    values[:, place] = payments.fraud + np.random.default_rng(2).normal(0, 0.05, len(payments))
    leaking = train(replace(payments, values=values), known, RECIPE, DELAY)
    precision = leaking.report.average_precision
    assert precision is not None and precision > TOO_GOOD_AVERAGE_PRECISION, "the gate refuses this"
    assert next(iter(leaking.model.gains())) == "local_hour"


def test_a_leak_that_ends_before_the_test_earns_nothing_there(payments: Frame, known: Catalogue) -> None:
    shuffled = np.random.default_rng(3).permutation(payments.fraud)
    shuffled_frame = _relabelled(payments, shuffled)
    parts = split_by_time(shuffled_frame, RECIPE.split, DELAY)
    values = payments.values.copy()
    values[: -len(parts.test), known.index["local_hour"]] = shuffled[: -len(parts.test)]
    report = train(replace(shuffled_frame, values=values), known, RECIPE, DELAY).report
    assert report.auc is not None and report.auc < 0.6


def test_the_same_run_gives_the_same_bits(trained: Trained, payments: Frame, known: Catalogue) -> None:
    again = train(payments, known, RECIPE, DELAY)
    assert again.model.text == trained.model.text
    assert again.policy.digest == trained.policy.digest
    assert again.test_scores.tobytes() == trained.test_scores.tobytes()


def test_the_model_stays_within_the_limits_of_quick_reasons(trained: Trained) -> None:
    assert trained.model.trees <= 300
    leaves = [int(line.split("=")[1]) for line in trained.model.text.splitlines() if line.startswith("num_leaves=")]
    assert len(leaves) == trained.model.trees and max(leaves) <= 31


def test_a_feature_left_out_is_never_used(payments: Frame, known: Catalogue) -> None:
    parts = split_by_time(payments, RECIPE.split, DELAY)
    best = next(iter(fit(parts.learn, parts.tune, RECIPE.model, known).gains()))
    parameters = ModelParameters(trees=20, threads=1, leave_out=(best,))
    assert best not in fit(parts.learn, parts.tune, parameters, known).gains()
    few = ModelParameters(trees=20, threads=1, use=("payee_fraud_*", "amount_*"))
    used = fit(parts.learn, parts.tune, few, known).gains()
    assert used and all(name.startswith(("payee_fraud_", "amount_")) for name in used)


def test_risk_never_falls_with_a_feature_that_is_declared_monotone(payments: Frame, known: Catalogue) -> None:
    name = "amount_reference_minor"
    parts = split_by_time(payments, RECIPE.split, DELAY)
    parameters = ModelParameters(trees=30, threads=1, features_per_tree=1.0, monotone={name: 1})
    model = fit(parts.learn, parts.tune, parameters, known)
    rows = np.repeat(parts.test.values[:1], 50, axis=0)
    rows[:, known.index[name]] = np.geomspace(10, 1e7, 50)
    raised = replace(parts.test, values=rows)
    assert (np.diff(model.margins(raised)) >= 0).all()


def test_an_unknown_feature_in_a_recipe_is_named(payments: Frame, known: Catalogue) -> None:
    parts = split_by_time(payments, RECIPE.split, DELAY)
    with pytest.raises(InvalidDeclaration, match="leave_out names moon_phase"):
        fit(parts.learn, parts.tune, ModelParameters(leave_out=("moon_phase",)), known)


def test_a_refit_learns_from_everything_known_and_nothing_later(payments: Frame, known: Catalogue) -> None:
    recipe = Recipe(split=RECIPE.split, model=RECIPE.model, refit=True)
    trained = train(payments, known, recipe, DELAY)
    parts = split_by_time(payments, recipe.split, DELAY)
    fraud = payments.fraud.copy()
    fraud[-len(parts.test) :] = ~fraud[-len(parts.test) :]
    fraud[len(parts.all_known()) : -len(parts.test)] ^= True
    assert train(_relabelled(payments, fraud), known, recipe, DELAY).model.text == trained.model.text


def test_segments_add_up_to_the_whole(trained: Trained) -> None:
    for segment in {s.segment for s in trained.report.segments}:
        rows = [s for s in trained.report.segments if s.segment == segment]
        assert sum(r.payments for r in rows) == trained.report.payments
        assert sum(r.frauds for r in rows) == trained.report.frauds


def test_the_frame_leaves_out_what_lies_before_its_start(known: Catalogue, payments: Frame) -> None:
    since = payments.payments["event_time"].iloc[5000].to_pydatetime()
    later = frame(small_history(), known, since=since)
    first = len(payments) - len(later)
    assert np.array_equal(later.values, payments.values[first:], equal_nan=True)
    assert later.payments["payer_age"].tolist() == payments.payments["payer_age"].iloc[first:].tolist()
