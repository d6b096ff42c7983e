"""The project's interface to the Feast store: open, apply, attach, and read whole vectors.

A store has a folder of its own (below `var/`): registry, profile versions and the parquet files of the offline side.
Columns are always in the catalogue's order, whatever order Feast returns.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureService, FeatureStore
from feast.repo_config import RepoConfig
from feast.utils import _convert_arrow_to_proto
from sqlalchemy.exc import SQLAlchemyError

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import RegistryUnavailable
from features.feast_store.offline_store import RiskgateOfflineStoreConfig
from features.feast_store.online_store import Clock, RiskgateOnlineStore, RiskgateOnlineStoreConfig
from features.feast_store.repo.definitions import declare
from features.feast_store.views import PROFILE_COLUMNS, historical_rows, online_row, profile_table, service_name
from features.settings import with_driver
from features.state.memory import State
from features.state.profiles import ProfileFile, Profiles

__all__ = [
    "apply",
    "attach",
    "close",
    "historical_frame",
    "materialize_profiles",
    "online_vectors",
    "open_store",
    "read_redis",
    "service_name",
    "set_clock",
    "write_profiles",
]

Vectors = npt.NDArray[np.float64]


def open_store(folder: Path, catalogue: Catalogue, replayed: Path | None = None, registry: str = "") -> FeatureStore:
    """The store in `folder`; `replayed` is the parquet file of `python -m features replay`, if not in `folder`.

    `registry` is the URL of a database that many stores share; empty means a file in `folder`.
    Raises: RegistryUnavailable when that database refuses the connection.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"velocity": str((replayed or folder / "velocity.parquet").resolve())}
    paths |= {f"{entity}_profile": f"{entity}_profile.parquet" for entity in PROFILE_COLUMNS}
    config = _config(folder, catalogue, paths, _registry(folder, registry))
    try:
        store = FeatureStore(config=config)
        if registry:
            _ = store.registry  # Feast connects on first use: force it here, where an error can be reported
        return store
    except SQLAlchemyError as error:
        # SQLAlchemy's text would repeat the URL with its user name.
        raise RegistryUnavailable(
            f"The database of Feast's registry refuses the connection ({type(error).__name__}).",
            "Start it, create the database, or correct RISKGATE_FEAST_REGISTRY.",
        ) from None


def _registry(folder: Path, url: str) -> dict[str, Any]:
    if not url:
        return {"path": str(folder.resolve() / "registry.db"), "cache_ttl_seconds": 0}
    # One pooled connection serves Feast's hundreds of queries; `close` closes it.
    options = {"echo": False, "pool_size": 1, "connect_args": {"connect_timeout": 5}}
    return {
        "registry_type": "sql",
        "path": with_driver(url),
        "cache_ttl_seconds": 0,
        "sqlalchemy_config_kwargs": options if "postgres" in url.partition(":")[0] else {"echo": False},
    }


def _config(folder: Path, catalogue: Catalogue, paths: dict[str, str], registry: dict[str, Any]) -> RepoConfig:
    return RepoConfig(
        project="riskgate",
        provider="local",
        registry=registry,
        offline_store=RiskgateOfflineStoreConfig(paths=paths),
        online_store=RiskgateOnlineStoreConfig(
            profiles="profiles.sqlite",
            snapshots="snapshots",
            catalogue=msgspec.to_builtins(catalogue.parameters),
        ),
        entity_key_serialization_version=3,
        repo_path=folder.resolve(),
    )


def apply(store: FeatureStore, catalogue: Catalogue) -> str:
    """Register everything the catalogue declares; returns the name of its feature service.

    Services of earlier catalogues stay in the registry, so that older bundles keep theirs. Absent profile files are
    created empty: no party has a profile yet.
    """
    for entity in PROFILE_COLUMNS:
        if not _profile_path(store, entity).exists():
            pq.write_table(profile_table(Profiles(), entity), _profile_path(store, entity))
    with warnings.catch_warnings():
        # Feast warns that on-demand views are experimental; ours is computed in slices (offline_store.py).
        warnings.filterwarnings("ignore", message="On demand feature view", category=RuntimeWarning)
        store.apply(declare(catalogue).objects())
    return service_name(catalogue)


def read_redis(store: FeatureStore, url: str, prefix: str) -> None:
    """Read velocity from the Redis of the production profile."""
    store.config.online_store.redis_url, store.config.online_store.redis_prefix = url, prefix


def set_clock(store: FeatureStore, clock: Clock) -> None:
    """Read as of the time of `clock`, in ms UTC, instead of the wall clock."""
    _online(store).set_clock(clock)


def attach(store: FeatureStore, state: State, clock: Clock) -> None:
    """Read velocity from this live state; `clock` returns the current time in ms UTC."""
    _online(store).attach(state, clock)


def close(store: FeatureStore) -> None:
    """Detach the state and close the profile file and the connection to the registry's database."""
    _online(store).detach()
    engine = getattr(store.registry, "write_engine", None)
    if engine is not None:
        engine.dispose()


def write_profiles(store: FeatureStore, profiles: Profiles) -> None:
    """Write every version of every profile to the offline files of the profile views."""
    for entity in PROFILE_COLUMNS:
        pq.write_table(profile_table(profiles, entity), _profile_path(store, entity))


def materialize_profiles(store: FeatureStore) -> ProfileFile:
    """Copy every version of every profile from the offline files to the online store; returns the profile file.

    `feast materialize` copies only the newest version of each; a replay clock needs the earlier ones too.
    """
    provider = store._get_provider()
    for entity in PROFILE_COLUMNS:
        view = store.get_feature_view(f"{entity}_profile")
        job = provider.offline_store.pull_all_from_table_or_query(
            store.config, view.batch_source, view.join_keys, [f.name for f in view.features],
            view.batch_source.timestamp_field, view.batch_source.created_timestamp_column,
        )  # fmt: skip
        versions = job.to_arrow()
        if versions.num_rows:
            keys = {column.name: column.dtype.to_value_type() for column in view.entity_columns}
            written = _convert_arrow_to_proto(versions, view, keys)
            provider.online_write_batch(store.config, view, written, progress=None)
    return _online(store).profile_file(store.config)


def online_vectors(store: FeatureStore, catalogue: Catalogue, payments: Sequence[Payment]) -> Vectors:
    """Features as Feast serves them, float64[payments, columns of the catalogue], NaN = missing."""
    service = _service(store, service_name(catalogue))
    rows = [online_row(payment, catalogue) for payment in payments]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    answer = store.get_online_features(features=service, entity_rows=columns).to_dict()
    return np.array([answer[name] for name in catalogue.names], dtype=np.float64).T  # None becomes NaN


def historical_frame(
    store: FeatureStore, catalogue: Catalogue, history: pa.Table, service: str | None = None
) -> pd.DataFrame:
    """Features of every payment of a history as known just before it, in the history's order.

    history: a table in the shape of features/history/schema.py. service: the feature service, default the
    catalogue's own. Returns transaction_id, event_timestamp and one float64 column per feature, NaN = missing.
    """
    asked = historical_rows(history, catalogue).to_pandas(
        split_blocks=True, types_mapper=_arrow_strings, integer_object_nulls=True
    )
    job = store.get_historical_features(entity_df=asked, features=_service(store, service or service_name(catalogue)))
    table = job.to_arrow()
    columns = ["transaction_id", "event_timestamp", *catalogue.names]
    frame = table.select(columns).to_pandas(split_blocks=True, self_destruct=True)
    return cast(pd.DataFrame, frame)


def _profile_path(store: FeatureStore, entity: str) -> Path:
    return Path(store.config.repo_path) / f"{entity}_profile.parquet"


@lru_cache(maxsize=8)
def _service(store: FeatureStore, name: str) -> FeatureService:
    """The feature service, cached: each query re-reads the registry and clears Feast's caches."""
    return store.get_feature_service(name)


def _arrow_strings(kind: pa.DataType) -> Any:
    """Keep ids as Arrow strings: a million Python strings per column would cost more than the join."""
    return pd.ArrowDtype(kind) if pa.types.is_string(kind) else None


def _online(store: FeatureStore) -> RiskgateOnlineStore:
    return cast(RiskgateOnlineStore, store._get_provider().online_store)
