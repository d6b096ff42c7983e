"""The C interface gives the bits of `Booster.predict`, and reasons add up to what it explains."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest

from features.bundle import read_bundle
from features.catalog import catalog_of
from serving.reasons import Families
from serving.scorer import Scorer


@pytest.fixture(scope="module")
def model_text(bundle: Path) -> str:
    return read_bundle(bundle).model_text


def rows(width: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    values = rng.lognormal(3, 4, (200, width))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[rng.random(values.shape) < 0.2] = 0.0
    return values


def test_margins_are_bit_identical_to_the_booster(model_text: str) -> None:
    scorer = Scorer(model_text)
    values = rows(len(scorer.names))
    expected = lightgbm.Booster(model_str=model_text).predict(values, raw_score=True)
    assert [scorer.margin(row) for row in values] == list(expected)
    scorer.close()


def test_contributions_are_bit_identical_and_sum_to_the_margin(model_text: str) -> None:
    scorer = Scorer(model_text)
    values = rows(len(scorer.names))
    expected = lightgbm.Booster(model_str=model_text).predict(values, pred_contrib=True)
    for row, wanted in zip(values, np.asarray(expected), strict=True):
        shares = scorer.contributions(row)
        assert np.array_equal(shares, wanted)
        assert shares.sum() == pytest.approx(scorer.margin(row))
    scorer.close()


def test_families_hold_all_of_the_contributions_strongest_first_and_only_what_raises(bundle: Path) -> None:
    known = catalog_of(read_bundle(bundle).contract)
    codes = [feature.reason for feature in known.features]
    families = Families(known.names, codes, known.reasons)
    shares = np.random.default_rng(5).normal(size=len(known.names) + 1)
    told = families.strongest(shares, [0.0] * len(known.names))
    totals = {code: sum(s for s, c in zip(shares[:-1], codes, strict=True) if c == code) for code in set(codes)}
    wanted = sorted((t for t in totals.values() if t > 0), reverse=True)[:4]
    assert [one.contribution for one in told] == pytest.approx(wanted, abs=1e-5)
    assert all(known.features[known.index[one.feature]].reason == one.code for one in told if one.feature)
