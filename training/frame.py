"""The point-in-time frame: each past payment with what was known when it was made, and what became of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.catalog import Catalog
from features.encode import amounts_of
from features.errors import InvalidHistory
from features.history import complete, history_schema, times_ms, valid
from features.profiles import Profiles
from features.replay import replay
from training.segments import segment_columns
from training.shapes import Flags, Floats, Integers

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Frame:
    """Payments in order of time, with one row of features each.

    `payments` holds `transaction_id`, `event_time` (UTC), `amount_minor` (reference currency), `payer_id`,
    `payee_id`, `label_ms` (when the label became known, ms UTC, -1 never), `told_fraud` (what it says, in
    hindsight), `is_fraud` (what may be learned from, see `known_by`) and the segments.
    `values` is float64[payments, features], NaN = missing, columns named by `names`.
    """

    payments: pd.DataFrame
    values: Floats
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.payments)

    @property
    def fraud(self) -> Flags:
        """Whether each payment is a fraud, as far as this frame knows."""
        return self.payments["is_fraud"].to_numpy(dtype=np.bool_)

    @property
    def amounts(self) -> Floats:
        """Amounts in minor units of the reference currency."""
        return self.payments["amount_minor"].to_numpy(dtype=np.float64)

    @property
    def days(self) -> Integers:
        """Day number (UTC) of each payment."""
        days = self.payments["event_time"].to_numpy(dtype="datetime64[D]")
        return np.asarray(days.astype(np.int64), dtype=np.int64)

    def between(self, start: pd.Timestamp | None, end: pd.Timestamp) -> Frame:
        """Payments with start <= event time < end (no start: from the first); no row is copied."""
        times = self.payments["event_time"]
        first = 0 if start is None else int(times.searchsorted(start, side="left"))
        last = max(first, int(times.searchsorted(end, side="left")))
        return replace(self, payments=self.payments.iloc[first:last], values=self.values[first:last])

    def known_by(self, moment: pd.Timestamp) -> Frame:
        """The same payments with the labels as they stood at `moment`.

        A fraud that was reported later is still a payment without complaint here: what comes after `moment`
        cannot change anything, not even by leaving the row out.
        """
        label_ms = self.payments["label_ms"].to_numpy(dtype=np.int64)
        known = (label_ms >= 0) & (label_ms <= moment.value // 1_000_000)
        told = self.payments["told_fraud"].to_numpy(dtype=np.bool_)
        return replace(self, payments=self.payments.assign(is_fraud=told & known))

    def joined_with(self, *others: Frame) -> Frame:
        """This frame followed by others, in the order given."""
        parts = [self, *others]
        return replace(
            self,
            payments=pd.concat([p.payments for p in parts]),
            values=np.concatenate([p.values for p in parts]),
        )


def frame(
    history: pa.Table,
    catalog: Catalog,
    profiles: Profiles | None = None,
    since: dt.datetime | None = None,
    progress: Progress | None = None,
) -> Frame:
    """The frame of a history, whose features are those of the same kernel that serves them.

    Args:
        history: payments in HISTORY_SCHEMA, in order of arrival.
        catalog: the features.
        profiles: what else was known of the parties, with honest times.
        since: keep only payments from here on; the windows still see everything before.
        progress: called with the number of events just replayed.

    Raises:
        InvalidHistory: the history cannot be replayed, or nothing of it is left after `since`.
    """
    history = complete(history, history_schema(catalog.parameters))
    features = _features_known_then(history, catalog, profiles, progress)
    return assemble(history, features, catalog, since)


def assemble(history: pa.Table, features: pa.Table, catalog: Catalog, since: dt.datetime | None = None) -> Frame:
    """Join a completed history with its features (same rows, same order) into a frame sorted by time."""
    if not features["transaction_id"].equals(history["transaction_id"].cast(features["transaction_id"].type)):
        raise InvalidHistory(
            "The features belong to other payments than the history, or are in another order.",
            "Replay this history again.",
        )
    payments = pd.DataFrame(
        {
            "transaction_id": history["transaction_id"].to_pandas(),
            "event_time": pd.to_datetime(times_ms(history["event_time"]), unit="ms", utc=True),
            "amount_minor": amounts_of(history, catalog),
            "payer_id": history["payer_id"].to_pandas(),
            "payee_id": history["payee_id"].to_pandas(),
            "told_fraud": np.asarray(pc.fill_null(pc.equal(history["label"], "fraud"), False)),
            "label_ms": np.where(valid(history["label"]), times_ms(history["label_time"]), -1),
        }
    )
    payments["is_fraud"] = payments["told_fraud"]
    payments = payments.assign(**segment_columns(history, payments["amount_minor"].to_numpy(dtype=np.int64)))
    times = payments["event_time"]
    order = np.arange(len(payments)) if times.is_monotonic_increasing else times.argsort(kind="stable").to_numpy()
    if since is not None:
        order = order[times.to_numpy()[order] >= np.datetime64(int(since.timestamp() * 1000), "ms")]
    if not len(order):
        raise InvalidHistory("No payment of the history is left to learn from.", "Give a longer history.")
    values = np.empty((len(order), len(catalog.names)))
    for place, name in enumerate(catalog.names):
        values[:, place] = features[name].to_numpy()[order]
    return Frame(payments.iloc[order].reset_index(drop=True), values, catalog.names)


def read_features(path: Path, history: pa.Table, catalog: Catalog) -> Frame:
    """The frame from features that were replayed into a parquet file before."""
    table = pa.parquet.read_table(path)
    return assemble(complete(history, history_schema(catalog.parameters)), table, catalog)


def _features_known_then(
    history: pa.Table, catalog: Catalog, profiles: Profiles | None, progress: Progress | None
) -> pa.Table:
    """The one place that says where features come from."""
    return replay(history, catalog, profiles, progress=progress)
