"""48 scalar features over five Feast views on the SQLite online store: definitions, synthetic values."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

from tests.bench.inputs.payments import DEVICES, PAYEES, PAYERS

WINDOWS = ("10m", "1h", "24h", "7d")
AMOUNTS, USES = ("count", "sum", "max"), ("count", "payers")


def named(prefix: str, *parts: tuple[str, ...] | range) -> tuple[str, ...]:
    """Every combination of the parts, behind the prefix."""
    return tuple("_".join((prefix, *map(str, chosen))) for chosen in itertools.product(*parts))


# view -> (join key, prefix of the ids, how many, its features): 12 + 12 + 8 + 8 + 8 = 48.
VIEWS: dict[str, tuple[str, str, int, tuple[str, ...]]] = {
    "payer_velocity": ("payer_id", "u-", PAYERS, named("payer", AMOUNTS, WINDOWS)),
    "payee_velocity": ("payee_id", "m-", PAYEES, named("payee", AMOUNTS, WINDOWS)),
    "device_velocity": ("device_id", "d-", DEVICES, named("device", USES, WINDOWS)),
    "payer_profile": ("payer_id", "u-", PAYERS, named("payer_profile", range(8))),
    "payee_profile": ("payee_id", "m-", PAYEES, named("payee_profile", range(8))),
}
NAMES: tuple[str, ...] = tuple(name for *_, names in VIEWS.values() for name in names)
REFERENCES: list[str] = [f"{view}:{name}" for view, (*_, names) in VIEWS.items() for name in names]


def open_store(folder: Path, redis_url: str = "") -> FeatureStore:
    """The local provider with the defaults of `feast init`: a file registry and the SQLite online store, or Redis."""
    sqlite = {"type": "sqlite", "path": str(folder / "online.db")}
    return FeatureStore(
        config=RepoConfig(
            project="stitched",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "redis", "connection_string": at(redis_url)} if redis_url else sqlite,
            entity_key_serialization_version=3,
        )
    )


def at(redis_url: str) -> str:
    """A Redis URL in Feast's own spelling.

    >>> at("redis://127.0.0.1:6379/1")
    '127.0.0.1:6379,db=1'
    """
    address, _, database = redis_url.removeprefix("redis://").partition("/")
    return f"{address},db={database or 0}"


def build(folder: Path, seed: int = 7, redis_url: str = "") -> None:
    """Write synthetic values to parquet, apply the definitions and materialise them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    now = datetime.now(tz=UTC)
    entities = {
        key: Entity(name=key.removesuffix("_id"), join_keys=[key], value_type=ValueType.STRING)
        for key in dict.fromkeys(key for key, *_ in VIEWS.values())
    }
    views = []
    for view, (key, prefix, count, names) in VIEWS.items():
        frame = pd.DataFrame({name: rng.gamma(1.5, 30.0, count) for name in names})
        frame[key] = [f"{prefix}{n}" for n in range(count)]
        frame["event_timestamp"] = now - timedelta(hours=1)
        frame.to_parquet(folder / f"{view}.parquet")
        views.append(
            FeatureView(
                name=view,
                entities=[entities[key]],
                ttl=timedelta(days=30),
                schema=[Field(name=name, dtype=Float64) for name in names],
                source=FileSource(path=str(folder / f"{view}.parquet"), timestamp_field="event_timestamp"),
            )
        )
    store = open_store(folder, redis_url)
    store.apply([*entities.values(), *views, FeatureService(name="risk", features=views)])
    store.materialize(now - timedelta(days=1), now)
