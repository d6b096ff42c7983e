"""A data set on which a random split finds skill that no later payment confirms."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from features.catalogue.catalogue import catalogue
from training.data.frame import Frame, frame
from training.data.ingest import history
from training.data.source_map import load
from training.model.fit import fit
from training.recipe import ModelParameters
from training.runs.pipeline import train

DATA = Path(os.environ.get("RISKGATE_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
FOLDER = DATA / "ecommerce_fraud_sample"
SHOP = load("ecommerce")
RECIPE = msgspec.structs.replace(SHOP.recipe(), model=ModelParameters(trees=100, threads=1))


@pytest.fixture(scope="module")
def payments() -> Frame:
    if not FOLDER.exists():
        pytest.skip(f"E-COMMERCE DATA ABSENT: no {FOLDER}; set RISKGATE_DATA to the folder that holds it")
    return frame(history(SHOP, FOLDER), catalogue(SHOP.catalogue_parameters()))


@pytest.mark.handbook
def test_the_report_shows_that_nothing_of_the_burst_helps_later(payments: Frame) -> None:
    report = train(payments, catalogue(SHOP.catalogue_parameters()), RECIPE, SHOP.delay).report
    assert report.auc is not None and 0.45 < report.auc < 0.60


@pytest.mark.handbook
def test_a_random_split_of_the_same_frame_would_have_claimed_skill(payments: Frame) -> None:
    """The mistake that the pipeline does not offer, made by hand on the very same features."""
    drawn = np.random.default_rng(0).permutation(len(payments))
    cut = int(0.8 * len(drawn))
    learn, test = (
        Frame(payments.payments.iloc[rows], payments.values[rows], payments.names)
        for rows in (drawn[:cut], drawn[cut:])
    )
    empty = payments.between(None, payments.payments["event_time"].iloc[0])
    model = fit(learn, empty, RECIPE.model, catalogue(SHOP.catalogue_parameters()))
    assert roc_auc_score(test.fraud, model.margins(test)) > 0.74
