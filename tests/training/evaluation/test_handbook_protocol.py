"""The protocol of the book, checked by training the book's own models on the book's own features."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.evaluation.handbook_protocol import handbook_week_metrics, unknown_customers
from training.evaluation.metrics import card_precision

DATA = Path(os.environ.get("RISKGATE_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
FILE = DATA / "handbook_transformed" / "transactions_transformed.parquet"
TRAIN_FROM = pd.Timestamp("2018-07-25", tz="UTC")


@pytest.fixture(scope="module")
def book() -> pd.DataFrame:
    if not FILE.exists():
        pytest.skip(f"HANDBOOK DATA ABSENT: no {FILE}; set RISKGATE_DATA to the folder that holds it")
    table = pd.read_parquet(FILE)
    table["event_time"] = table["TX_DATETIME"].dt.tz_localize("UTC")
    table["payer_id"] = table["CUSTOMER_ID"].astype(str)
    table["is_fraud"] = table["TX_FRAUD"] == 1
    until = TRAIN_FROM + pd.Timedelta(days=21)
    return table[(table["event_time"] >= TRAIN_FROM) & (table["event_time"] < until)].reset_index(drop=True)


def _inputs(table: pd.DataFrame) -> np.ndarray:
    windows = [column for column in table if column.startswith("TX_DURING") or "WINDOW" in column]
    return table[["TX_AMOUNT", *windows]].to_numpy("float64")


@pytest.mark.handbook
def test_the_books_split_has_the_books_sizes(book: pd.DataFrame) -> None:
    train = book[book["event_time"] < TRAIN_FROM + pd.Timedelta(days=7)]
    test = book[unknown_customers(book, TRAIN_FROM)]
    assert (len(train), int(train["is_fraud"].sum())) == (67_240, 598)
    assert (len(test), int(test["is_fraud"].sum())) == (58_264, 385)


@pytest.mark.handbook
def test_the_books_models_give_the_published_table(book: pd.DataFrame) -> None:
    train = book[book["event_time"] < TRAIN_FROM + pd.Timedelta(days=7)]
    test = book[unknown_customers(book, TRAIN_FROM)]
    regression = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    forest = RandomForestClassifier(random_state=0, n_jobs=2)
    for model, published in ((regression, (0.871, 0.606, 0.291)), (forest, (0.867, 0.658, 0.287))):
        model.fit(_inputs(train), train["is_fraud"])
        got = handbook_week_metrics(test, model.predict_proba(_inputs(test))[:, 1])
        assert got.auc == pytest.approx(published[0], abs=0.0025)
        assert got.ap == pytest.approx(published[1], abs=0.0025)
        assert got.cp100 == pytest.approx(published[2], abs=0.0025)


@pytest.mark.handbook
def test_a_perfect_scorer_reaches_a_card_precision_of_0_397(book: pd.DataFrame) -> None:
    test = book[unknown_customers(book, TRAIN_FROM)]
    perfect = handbook_week_metrics(test, test["is_fraud"].to_numpy("float64"))
    assert perfect.cp100 == pytest.approx(0.397, abs=5e-4)


def test_a_customer_detected_on_monday_does_not_count_on_tuesday() -> None:
    scores = np.array([0.9, 0.1, 0.9, 0.2])
    fraud = np.array([True, False, True, True])
    days = np.array([0, 0, 1, 1])
    # Monday: a is found (1/1). Tuesday: a is out, so b is first and is a fraud (1/1).
    assert card_precision(scores, fraud, days, ["a", "b", "a", "b"], top=1) == 1.0
    # With a never detected on Monday (no fraud then), a outranks b on Tuesday.
    fraud_monday_clean = np.array([False, False, False, True])
    assert card_precision(scores, fraud_monday_clean, days, ["a", "b", "a", "b"], top=1) == 0.0


def test_a_fraud_of_the_delay_week_removes_its_customer_only_once_it_is_known() -> None:
    start = pd.Timestamp("2020-01-01", tz="UTC")
    fraud_day = 8  # the second day of the delay: known from test day 2 on (relative day 7 + 2 - 1 = 8)
    days = [fraud_day, 14, 15, 16, 17]
    payments = pd.DataFrame(
        {
            "event_time": [start + pd.Timedelta(days=d, hours=1) for d in days],
            "payer_id": "a",
            "is_fraud": [True, False, False, False, False],
        }
    )
    assert unknown_customers(payments, start).tolist() == [False, True, True, False, False]
