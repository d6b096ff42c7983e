"""The point-in-time frame: each past payment with its features as of its time, and its label."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.catalogue.catalogue import Catalogue
from features.errors import InvalidHistory
from features.history.schema import complete, history_schema, times_ms, valid
from features.state.columns import addable_amounts_of
from features.state.profiles import Profiles
from features.state.replay import replay, replay_to_parquet
from training.data.arrays import Flags, Floats, Integers
from training.data.slices import segment_columns

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Frame:
    """Payments in order of time, with one row of features each.

    `payments` holds `transaction_id`, `event_time` (UTC), `amount_minor` (reference currency; 0 if unknown),
    `payer_id`, `payee_id`, `label_ms` (when the label became known, ms UTC, -1 never), `reported_fraud` (the label in
    hindsight), `is_fraud` (the label to learn from, see `known_by`) and the segments.
    `values` is float64[payments, features], NaN = missing, columns named by `names`.
    """

    payments: pd.DataFrame
    values: Floats
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.payments)

    @property
    def fraud(self) -> Flags:
        """Whether each payment is labelled fraud in this frame."""
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

    def rows(self, at: slice | Flags) -> Frame:
        """Some of the payments, in order; a slice is a view."""
        return replace(self, payments=self.payments.iloc[at], values=self.values[at])

    def between(self, start: pd.Timestamp | None, end: pd.Timestamp) -> Frame:
        """Payments with start <= event time < end (no start: from the first), as a view."""
        times = self.payments["event_time"]
        first = 0 if start is None else int(times.searchsorted(start, side="left"))
        return self.rows(slice(first, max(first, int(times.searchsorted(end, side="left")))))

    def known_by(self, moment: pd.Timestamp) -> Frame:
        """The same payments with the labels known at `moment`.

        A fraud that was reported later is not a fraud here: events after `moment` cannot change the result, not even
        by removing the row.
        """
        label_ms = self.payments["label_ms"].to_numpy(dtype=np.int64)
        known = (label_ms >= 0) & (label_ms <= moment.value // 1_000_000)
        reported = self.payments["reported_fraud"].to_numpy(dtype=np.bool_)
        return replace(self, payments=self.payments.assign(is_fraud=reported & known))

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
    catalogue: Catalogue,
    profiles: Profiles | None = None,
    since: dt.datetime | None = None,
    store: Path | None = None,
    progress: Progress | None = None,
    registry: str = "",
) -> Frame:
    """The frame of a history; its features come from the kernel that serving uses.

    Args:
        history: payments in HISTORY_SCHEMA, in order of arrival.
        catalogue: the features.
        profiles: profiles of the parties, with the times at which they became known.
        since: keep payments from this time on; the windows still see all earlier ones.
        store: folder of the Feast store that provides the features (created and applied if absent); None uses the
            kernel directly, which gives the same values.
        progress: called with the number of payments replayed since the last call.
        registry: the database of Feast's registry; empty means a file in `store`.

    Raises:
        InvalidHistory: the history cannot be replayed, or has no payment after `since`.
    """
    history = complete(history, history_schema(catalogue.parameters))
    if store is None:
        return assemble(history, replay(history, catalogue, profiles, progress=progress), catalogue, since)
    first = 0
    if (
        since is not None
    ):  # Feast is queried for the kept rows only; the order of arrival may differ from that of event times
        kept = np.flatnonzero(times_ms(history["event_time"]) >= int(since.timestamp() * 1000))
        first = int(kept[0]) if kept.size else history.num_rows
    features = _from_feast(history, first, catalogue, profiles, store, progress, registry)
    return assemble(history, features, catalogue, since, first)


def assemble(
    history: pa.Table, features: pa.Table, catalogue: Catalogue, since: dt.datetime | None = None, first: int = 0
) -> Frame:
    """Join a completed history with its features (same order, features from row `first` on), sorted by time.

    Raises:
        InvalidHistory: the features belong to other payments, or no payment is left after `since`.
    """
    ages = segment_columns(history, addable_amounts_of(history, catalogue))  # from the whole history: who is new
    history = history.slice(first)
    if not pc.all(pc.equal(features["transaction_id"], history["transaction_id"])).as_py():
        raise InvalidHistory(
            "The features belong to other payments than the history, or are in another order.",
            "Replay this history again.",
        )
    payments = payments_of(history, addable_amounts_of(history, catalogue))
    payments["is_fraud"] = payments["reported_fraud"]
    payments = payments.assign(**{name: column[first:] for name, column in ages.items()})
    times = payments["event_time"]
    order = np.arange(len(payments)) if times.is_monotonic_increasing else times.argsort(kind="stable").to_numpy()
    if since is not None:
        order = order[times_ms(history["event_time"])[order] >= int(since.timestamp() * 1000)]
    if not len(order):
        raise InvalidHistory("No payment of the history is left to learn from.", "Give a longer history.")
    values = np.empty((len(order), len(catalogue.names)))
    for place, name in enumerate(catalogue.names):
        values[:, place] = features[name].to_numpy()[order]
    return Frame(payments.iloc[order].reset_index(drop=True), values, catalogue.names)


def payments_of(history: pa.Table, amounts: Integers) -> pd.DataFrame:
    """The columns of a frame's payments that come from each row of the history alone."""
    return pd.DataFrame(
        {
            "transaction_id": history["transaction_id"].to_pandas(),
            "event_time": pd.to_datetime(times_ms(history["event_time"]), unit="ms", utc=True),
            "amount_minor": amounts,
            "payer_id": history["payer_id"].to_pandas(),
            "payee_id": history["payee_id"].to_pandas(),
            "reported_fraud": np.asarray(pc.fill_null(pc.equal(history["label"], "fraud"), False)),
            "label_ms": np.where(valid(history["label"]), times_ms(history["label_time"]), -1),
        }
    )


def _from_feast(
    history: pa.Table,
    first: int,
    catalogue: Catalogue,
    profiles: Profiles | None,
    store: Path,
    progress: Progress | None,
    registry: str,
) -> pa.Table:
    """Features from `FeatureStore.get_historical_features`, over a replay kept in the store's folder."""
    from features.feast_store import client  # importing Feast takes seconds, so only this path does

    replayed = store / f"replayed-{catalogue.contract().hash[:12]}.parquet"
    source = store / "history.parquet"
    store.mkdir(parents=True, exist_ok=True)
    pq.write_table(history, source, compression="lz4")
    replay_to_parquet(source, replayed, catalogue, profiles, progress)
    feast = client.open_store(store, catalogue, replayed, registry)
    client.write_profiles(feast, profiles if profiles is not None else Profiles())
    client.apply(feast, catalogue)
    answer = client.historical_frame(feast, catalogue, history.slice(first))
    client.close(feast)
    return pa.table({name: pa.array(answer[name]) for name in ("transaction_id", *catalogue.names)})
