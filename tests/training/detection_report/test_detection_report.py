"""The evaluation exposes a random split, shuffled labels and a planted leak, and its figures are what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.catalogue import Catalogue, catalogue
from features.errors import InvalidHistory
from features.state.profiles import ProfileFile
from tests.training.simulator.small import SMALL
from training.data.frame import Frame
from training.data.source_map import load
from training.detection_report.baselines import full_model, rule_score
from training.detection_report.operating_point import operating_point, threshold_at
from training.detection_report.page import report_page
from training.detection_report.periods import PeriodPlan, Periods, periods
from training.detection_report.report import DetectionResult, judge
from training.detection_report.sanity_checks import SEPARATES, separation, separations
from training.evaluation.metrics import auc
from training.recipe import ModelParameters
from training.simulator import storage

pytestmark = pytest.mark.long

WORLD = msgspec.structs.replace(SMALL, payments=40_000, payers=2_000, fraud_share=0.015)
PLAN = PeriodPlan(warm_up_days=10, decide_days=8, gap_days=14, test_days=14, honest_share=1.0)
MODEL = ModelParameters(trees=40, depth=5, leaves=16, learning_rate=0.1, rows_per_leaf=20, features_per_tree=0.4,
                        l2=10, threads=1)  # fmt: skip


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return catalogue(load("world").catalogue_parameters())


@pytest.fixture(scope="module")
def parts(known: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Periods:
    folder = tmp_path_factory.mktemp("world")
    storage.write_world(WORLD, folder)
    return periods(folder, WORLD, known, ProfileFile(storage.write_profiles(folder)).load(), PLAN)


@pytest.fixture(scope="module")
def judged(parts: Periods, known: Catalogue) -> DetectionResult:
    return judge(parts, known, MODEL, 8, 1, WORLD.payments)


def test_periods_follow_each_other_with_the_label_delay_between(parts: Periods) -> None:
    learn, decide, test = (part.payments["event_time"] for part in (parts.learn, parts.decide, parts.test))
    assert learn.max() < decide.min() and decide.max() < test.min()
    assert test.min() - decide.max() >= pd.Timedelta(days=PLAN.gap_days)
    parts.check()


def test_what_is_learned_is_what_was_told_and_what_is_tested_is_what_happened(parts: Periods) -> None:
    assert (parts.test.fraud == (parts.typologies != None)).all()  # noqa: E711
    reported = parts.learn.payments["reported_fraud"].to_numpy()
    assert (parts.learn.fraud <= reported).all()
    assert (parts.learn.fraud != (parts.learn_typologies != None)).any(), "labels are incomplete and some are wrong"  # noqa: E711
    label_ms = parts.learn.payments["label_ms"].to_numpy()[parts.learn.fraud]
    assert label_ms.max() <= parts.test_from.value // 1_000_000


def test_a_random_split_is_refused_and_would_have_flattered(parts: Periods, known: Catalogue) -> None:
    whole = parts.learn.joined_with(parts.decide, parts.test)
    rows = np.random.default_rng(1).permutation(len(whole))
    cut = int(0.7 * len(rows))

    def part(at: np.ndarray) -> Frame:
        return replace(whole, payments=whole.payments.iloc[at], values=whole.values[at])

    mixed = replace(
        parts, learn=part(rows[:cut]), test=part(rows[cut:]), learn_typologies=np.full(cut, None),
        typologies=np.full(len(rows) - cut, None),
    )  # fmt: skip
    with pytest.raises(InvalidHistory, match="no evaluation out of time"):
        mixed.check()
    with pytest.raises(InvalidHistory):
        judge(mixed, known, MODEL, 0, 1, 0)


def test_learning_from_the_test_is_refused(parts: Periods) -> None:
    again = replace(parts, decide=parts.test)
    with pytest.raises(InvalidHistory, match="does not come after"):
        again.check()
    hindsight = parts.learn.payments.assign(
        label_ms=parts.test_from.value // 1_000_000 + 86_400_000, is_fraud=parts.learn.payments["reported_fraud"]
    )
    with pytest.raises(InvalidHistory, match="knows labels from after"):
        replace(parts, learn=replace(parts.learn, payments=hindsight)).check()


def test_shuffled_labels_are_doubted_and_catch_nothing(
    parts: Periods, known: Catalogue, judged: DetectionResult
) -> None:
    rng = np.random.default_rng(2)
    shuffled = rng.permutation(parts.learn.fraud)
    labels = parts.learn.payments.assign(is_fraud=shuffled, label_ms=np.where(shuffled, 0, -1))
    blind = judge(replace(parts, learn=replace(parts.learn, payments=labels)), known, MODEL, 0, 1, 0).report
    honest = judged.report
    assert any("hardly better than chance" in doubt for doubt in blind.doubts)
    assert not any("hardly better than chance" in doubt for doubt in honest.doubts)
    assert (blind.value_caught_at_budget or 0.0) < 0.25 * (honest.value_caught_at_budget or 0.0)


def test_a_planted_leak_is_named(parts: Periods, known: Catalogue) -> None:
    place = known.index["payer_count_10m"]

    def leaky(frame: Frame, fraud: np.ndarray) -> Frame:
        values = frame.values.copy()
        values[:, place] = np.where(fraud, 9.0, values[:, place] * 0.0)
        return replace(frame, values=values)

    planted = replace(
        parts, learn=leaky(parts.learn, parts.learn_typologies != None),  # noqa: E711
        decide=leaky(parts.decide, parts.decide.fraud), test=leaky(parts.test, parts.test.fraud),
    )  # fmt: skip
    report = judge(planted, known, MODEL, 0, 1, 0).report
    assert any("payer_count_10m alone separates all fraud" in doubt for doubt in report.doubts)
    assert (report.value_caught_at_budget or 0.0) > 0.9


def test_the_report_says_what_was_measured(judged: DetectionResult, parts: Periods) -> None:
    report = judged.report
    low, high = report.value_caught_interval
    assert report.value_caught_at_budget is not None and low is not None and high is not None
    assert low <= report.value_caught_at_budget <= high
    assert {s.typology for s in report.by_typology} == {s for s in parts.typologies if s is not None}
    assert sum(s.payments for s in report.by_typology) == report.frauds
    assert sum(s.value_share for s in report.by_typology) == pytest.approx(1.0)
    assert {"without_windows", "rules"} == set(report.baselines)
    assert {p.segment for p in report.by_segment} >= {"rail", "channel", "payee_age", "cross_border", "festival"}
    late = {s.typology for s in report.by_typology if not s.seen_in_training}
    assert "qr swap" in late
    for unseen in report.unseen_typology:
        assert (unseen.value_caught_seen is None) == (unseen.typology in late)
    assert report.festival is not None and report.festival.payments > 0
    page = report_page(judged, parts.test.fraud, parts.test.amounts)
    assert "Simulated payments" in page and page.count("<img alt=") == 2 and "http" not in page.split("</style>")[1]
    assert msgspec.json.decode(msgspec.json.encode(report))["value_caught_at_budget"] == report.value_caught_at_budget


def test_windows_are_what_catches(judged: DetectionResult) -> None:
    without = judged.report.baselines["without_windows"].value
    assert without is not None and judged.report.value_caught_at_budget is not None
    assert without < judged.report.value_caught_at_budget


def test_the_budget_is_kept(judged: DetectionResult, parts: Periods) -> None:
    above = judged.scores > threshold_at(judged.scores, ~parts.test.fraud)
    assert above[~parts.test.fraud].mean() <= judged.report.budget
    rules = rule_score(parts.test, catalogue(load("world").catalogue_parameters()))
    assert (rules > threshold_at(rules, ~parts.test.fraud))[~parts.test.fraud].mean() <= judged.report.budget


@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.floats(0.001, 0.5))
def test_no_threshold_disturbs_more_than_the_budget(seed: int, n: int, budget: float) -> None:
    rng = np.random.default_rng(seed)
    scores, fraud = np.round(rng.random(n), 2), rng.random(n) < 0.2
    fraud[0], fraud[1] = True, False
    threshold = threshold_at(scores, ~fraud, budget)
    assert (scores[~fraud] > threshold).mean() <= budget


def test_a_perfect_score_catches_everything_and_a_constant_one_nothing() -> None:
    rng = np.random.default_rng(0)
    fraud = rng.random(5_000) < 0.01
    payers, worth, all_of_it = rng.integers(0, 900, 5_000), rng.random(5_000), np.ones(5_000, np.bool_)
    perfect = operating_point(fraud.astype(float), fraud, payers).share(all_of_it, worth)
    nothing = operating_point(np.zeros(5_000), fraud, payers).share(all_of_it, worth)
    assert perfect.value == pytest.approx(1.0) and perfect.low == pytest.approx(1.0)
    assert nothing.value == 0.0
    assert operating_point(fraud.astype(float), fraud, payers).share(~all_of_it, worth).value is None


def test_missing_values_can_separate_too() -> None:
    positive = np.array([True] * 50 + [False] * 50)
    assert separation(np.where(positive, np.nan, 1.0), positive) == 1.0
    assert separation(np.arange(100.0), positive) == 1.0


@given(st.integers(0, 2**32 - 1), st.integers(2, 120), st.booleans())
def test_a_separation_is_the_area_under_the_curve_in_the_better_reading(seed: int, n: int, gaps: bool) -> None:
    rng = np.random.default_rng(seed)
    values, told = np.round(rng.normal(size=n), 1), rng.random(n) < 0.3
    if gaps:
        values[rng.random(n) < 0.3] = np.nan
    areas = [auc(np.nan_to_num(values, nan=reading), told) for reading in (-99.0, 99.0)]
    best = max((max(one, 1.0 - one) for one in areas if one is not None), default=0.5)
    assert separation(values, told) == pytest.approx(best, abs=1e-12)


def test_no_single_feature_tells_a_story_by_itself(parts: Periods) -> None:
    """On this slice stories are few, so their areas are noisy; the default world is held to 0.98 in the report."""
    for one in separations(parts.test, parts.typologies):
        if (parts.typologies == one.typology).sum() >= 40:
            assert one.auc < SEPARATES, one


def test_a_world_too_short_is_refused_with_what_it_needs(tmp_path: Path, known: Catalogue) -> None:
    with pytest.raises(InvalidHistory, match="the periods need"):
        periods(tmp_path, WORLD, known, None, PeriodPlan())


def test_the_model_is_the_same_each_time(parts: Periods, known: Catalogue) -> None:
    small = msgspec.structs.replace(MODEL, trees=5)
    assert full_model(parts.learn, small, known).text == full_model(parts.learn, small, known).text
