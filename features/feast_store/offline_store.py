"""Feast's offline store: point-in-time features from replayed velocity and profile versions.

Feast's interface to the joins of features/feast_store/asof.py. Feast's flag `filter_by_created_timestamp` is always
on: a row that was backfilled later is invisible before its backfill.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import _get_requested_feature_views_to_features_dict, _get_requested_on_demand_feature_views
from pydantic import Field

from features.errors import InvalidHistory
from features.feast_store.asof import AsOfJoin, all_rows, microseconds, newest_rows

EVENT_TIMESTAMP: Final = "event_timestamp"
_ROWS_PER_TRANSFORM: Final = 100_000


class RiskgateOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Where the offline store finds its parquet files."""

    type: Literal["features.feast_store.offline_store.RiskgateOfflineStore"] = (
        "features.feast_store.offline_store.RiskgateOfflineStore"
    )

    paths: dict[str, str] = Field(default_factory=dict)
    """Source name to parquet file; a source that is not listed keeps the path of its definition."""


class RiskgateRetrievalJob(RetrievalJob):  # type: ignore[misc]
    """A lazy result; on-demand features are computed in slices to bound memory."""

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        full_feature_names: bool = False,
        on_demand: Iterable[tuple[OnDemandFeatureView, list[str]]] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._full_feature_names = full_feature_names
        self._on_demand = list(on_demand)
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether columns are named `view__feature`."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Always empty: the job computes them itself, so Feast must not."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """The requested features and keys."""
        return self._metadata

    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> pd.DataFrame:
        """The result as a frame, NaN = missing; the Arrow memory is handed over, not copied."""
        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        return frame

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self.to_df()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        table = self._evaluate()
        for view, names in self._on_demand:
            inputs = _inputs_of(view, table)
            slices = [
                pa.table(view.feature_transformation.udf(_columns(inputs.slice(start, _ROWS_PER_TRANSFORM))))
                for start in range(0, max(inputs.num_rows, 1), _ROWS_PER_TRANSFORM)
            ]
            computed = pa.concat_tables(slices)
            for name in names:
                column = computed.column(name)
                table = table.append_column(_shown(view, name, self._full_feature_names), column)
        return table


class RiskgateOfflineStore(OfflineStore):  # type: ignore[misc]
    """Point-in-time reads of the replayed velocity and of the profile versions."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **_: Any,
    ) -> RetrievalJob:
        """Features of every entity row as known at its `event_timestamp`, rows in the order given.

        Raises:
            InvalidHistory: there is no entity frame, no event timestamp in it, or no source file.
        """
        if not isinstance(entity_df, pd.DataFrame) or EVENT_TIMESTAMP not in entity_df.columns:
            raise InvalidHistory(
                "Entity rows must be a pandas frame with a column `event_timestamp`.",
                "Pass entity_df with the ids, event_timestamp and, for payments, transaction_id.",
            )
        on_demand_views = _get_requested_on_demand_feature_views(feature_refs, project, registry)
        by_view, by_on_demand = _get_requested_feature_views_to_features_dict(
            feature_refs, feature_views, on_demand_views
        )

        def evaluate() -> pa.Table:
            table = pa.Table.from_pandas(entity_df, preserve_index=False)
            asked, moments = table, microseconds(table.column(EVENT_TIMESTAMP))
            seen: dict[str, AsOfJoin] = {}
            for view, names in by_view.items():
                source = view.batch_source
                if source.name not in seen:
                    path = _existing_path_of(config, source)
                    times = (source.timestamp_field, source.created_timestamp_column)
                    seen[source.name] = AsOfJoin(path, *times, asked, moments)
                ttl_us = view.ttl // timedelta(microseconds=1) if view.ttl else None
                positions = seen[source.name].positions(_join_keys(view), ttl_us)
                for name, column in seen[source.name].gather(names, positions):
                    shown = _shown(view, name, full_feature_names)
                    table = table.append_column(shown, column)
            return table

        keys = [name for name in entity_df.columns if name != EVENT_TIMESTAMP]
        times = entity_df[EVENT_TIMESTAMP]
        metadata = RetrievalMetadata(feature_refs, keys, times.min(), times.max())
        return RiskgateRetrievalJob(evaluate, full_feature_names, by_on_demand.items(), metadata)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The newest row of each key with an event in [start, end], for `feast materialize`."""
        path, times = (
            _existing_path_of(config, data_source),
            _times(timestamp_field, created_timestamp_column),
        )
        return RiskgateRetrievalJob(
            lambda: newest_rows(path, join_key_columns, feature_name_columns, times, start_date, end_date)
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with an event in [start, end], in event order."""
        path, times = (
            _existing_path_of(config, data_source),
            _times(timestamp_field, created_timestamp_column),
        )
        columns = [*join_key_columns, *feature_name_columns]
        return RiskgateRetrievalJob(lambda: all_rows(path, columns, times, start_date, end_date))

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to the view's parquet file atomically."""
        path = _path_of(config, feature_view.batch_source)
        if path.exists():
            known = pq.read_table(path)
            table = pa.concat_tables([known, table.select(known.column_names).cast(known.schema)])
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        pq.write_table(table, fresh)
        os.replace(fresh, path)
        if progress:
            progress(table.num_rows)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Column names and Arrow types of the file behind a source."""
        schema = pq.read_schema(_existing_path_of(config, data_source))
        return [(field.name, str(field.type)) for field in schema]

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Accept a source without a file: `feast apply` runs before the first replay."""


def _join_keys(view: FeatureView) -> list[tuple[str, str]]:
    renamed = view.projection.join_key_map
    return [(renamed.get(column.name, column.name), column.name) for column in view.entity_columns]


def _shown(view: FeatureView | OnDemandFeatureView, name: str, full: bool) -> str:
    return f"{view.projection.name_to_use()}__{name}" if full else name


def _inputs_of(view: OnDemandFeatureView, table: pa.Table) -> pa.Table:
    """The input columns of an on-demand view, under their short names."""
    inputs = {name: table.column(name) for name in view.get_request_data_schema()}
    for projection in view.source_feature_view_projections.values():
        for feature in projection.features:
            full = f"{projection.name_to_use()}__{feature.name}"
            inputs[feature.name] = table.column(full if full in table.column_names else feature.name)
    return pa.table(inputs)


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    """Arrow columns for the view's function; Python lists would cost more than all the joins."""
    return {name: table.column(name).combine_chunks() for name in table.column_names}


def _path_of(config: RepoConfig, source: DataSource) -> Path:
    path = Path(config.offline_store.paths.get(source.name, source.path))
    return path if path.is_absolute() else Path(config.repo_path or ".") / path


def _existing_path_of(config: RepoConfig, source: DataSource) -> Path:
    path = _path_of(config, source)
    if not path.exists():
        raise InvalidHistory(
            f"There is no data yet for the source `{source.name}`: {path.name} does not exist.",
            "Run `python -m features replay` first, or name the file when opening the store.",
        )
    return path


def _times(event: str, created: str | None) -> list[str]:
    return [event, created] if created else [event]
