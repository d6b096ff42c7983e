"""The Handbook's evaluation protocol as pure functions of scores, offline or served.

Source: Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection", chapters 3 and 5.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

from training.data.arrays import Flags, Floats, Integers
from training.evaluation.metrics import auc, average_precision, card_precision

DAY = pd.Timedelta(days=1)


class WeekMetrics(msgspec.Struct, frozen=True):
    """The three metrics of the book's table, with the numbers of payments and frauds."""

    auc: float | None
    ap: float | None
    cp100: float
    payments: int
    frauds: int


def day_numbers(event_time: pd.Series[pd.Timestamp], origin: pd.Timestamp) -> Integers:
    """Whole days (24 h, UTC) from `origin` to each event; negative before it."""
    return np.asarray(((event_time - origin) // DAY).to_numpy(), dtype=np.int64)


def unknown_customers(
    payments: pd.DataFrame,
    train_from: pd.Timestamp,
    train_days: int = 7,
    delay_days: int = 7,
    test_days: int = 7,
) -> Flags:
    """Mark the test payments of customers without a known fraud on that test day.

    The test starts `train_days + delay_days` after `train_from`. Customers with a fraud in the training
    period are known; on test day d also those with a fraud on relative days up to `train_days + d - 1`,
    whose labels have arrived by then.

    Args:
        payments: columns `event_time` (UTC), `payer_id`, `is_fraud`; must cover training, delay and test.
        train_from: first moment of the training period.
        train_days: length of the training period in days.
        delay_days: days until a label is known.
        test_days: length of the test period in days.
    """
    days = day_numbers(payments["event_time"], train_from)
    _, customers = np.unique(payments["payer_id"].to_numpy(dtype=object).astype(str), return_inverse=True)
    fraud = payments["is_fraud"].to_numpy(dtype=np.bool_)
    never = np.iinfo(np.int64).max
    first_known_fraud = np.full(int(customers.max(initial=-1)) + 1, never, dtype=np.int64)
    counts = fraud & (days >= 0)
    np.minimum.at(first_known_fraud, customers[counts], days[counts])

    test_day = days - (train_days + delay_days)
    in_test = (test_day >= 0) & (test_day < test_days)
    known_up_to = train_days + test_day - 1
    return np.asarray(in_test & (first_known_fraud[customers] > known_up_to), dtype=np.bool_)


def handbook_week_metrics(test_frame: pd.DataFrame, scores: Floats) -> WeekMetrics:
    """AUC, average precision and CP@100 of a test week from which known customers are already removed.

    Args:
        test_frame: columns `event_time` (UTC), `payer_id`, `is_fraud`, one row per payment.
        scores: one score per row, higher is more suspicious.
    """
    fraud = test_frame["is_fraud"].to_numpy(dtype=np.bool_)
    days = day_numbers(test_frame["event_time"], test_frame["event_time"].min().floor("D"))
    return WeekMetrics(
        auc=auc(scores, fraud),
        ap=average_precision(scores, fraud),
        cp100=card_precision(scores, fraud, days, test_frame["payer_id"].to_numpy(dtype=object).astype(str)),
        payments=len(test_frame),
        frauds=int(fraud.sum()),
    )
