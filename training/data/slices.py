"""The slices of the traffic in a report, derived from the payments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.history.schema import times_ms
from training.data.arrays import Integers

NEW_FOR_DAYS = 30
_DAY_MS = 86_400_000
BANDS = ("smallest fifth", "second fifth", "middle fifth", "fourth fifth", "largest fifth")
SEGMENTS = ("rail", "channel", "amount_band", "cross_border", "payer_age", "payee_age")
"""The columns by which a report is sliced."""


def segment_columns(history: pa.Table, amounts: Integers) -> dict[str, pd.Categorical[str]]:
    """One column per segment, in the order of the history's rows.

    A party is new if its first payment in this history is less than 30 days old; in the first 30 days of a history
    every party is, so a test should begin later.
    """
    times = times_ms(history["event_time"])
    edges = np.quantile(amounts, (0.2, 0.4, 0.6, 0.8)) if len(amounts) else np.zeros(4)
    abroad = pc.if_else(pc.not_equal(history["payer_country"], history["payee_country"]), 1, 0)
    return {
        "rail": _named(history["rail"]),
        "channel": _named(history["channel"]),
        "amount_band": _category(np.searchsorted(edges, amounts), BANDS),
        "cross_border": _category(
            pc.fill_null(abroad, 2).to_numpy(), ("domestic", "cross-border", "countries not sent")
        ),
        "payer_age": _age(history["payer_id"], times, "payer"),
        "payee_age": _age(history["payee_id"], times, "payee"),
    }


def _category(codes: Any, names: Sequence[str]) -> pd.Categorical[str]:
    # pandas-stubs know only some integer arrays here
    return pd.Categorical.from_codes(np.asarray(codes, np.int64), categories=list(names))  # type: ignore[call-overload, no-any-return]


def _named(column: Any) -> pd.Categorical[str]:
    coded = column.combine_chunks().dictionary_encode()
    return _category(coded.indices.to_numpy(), coded.dictionary.to_pylist())


def _age(column: Any, times: Integers, what: str) -> pd.Categorical[str]:
    codes = column.combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.full(int(codes.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, codes, times)
    young = times - first[codes] < NEW_FOR_DAYS * _DAY_MS
    return _category(young, (f"known {what}", f"new {what}"))
