"""Feast's online store: velocity from the live state, profiles from their versions in SQLite.

Velocity is read-only: it is a fold of the ledger. A running service attaches its `State` and clock; a store without
one reads the Redis of the production profile (`redis_url`), else the newest snapshot. Profiles are written by
`feast materialize` and read as of the clock's time. The hot path reads the state directly (`State.observe`,
`EntityStrings.observe`); tests keep both equal.

Feast has no NaN for a missing value: it is an empty protobuf value here and None in Feast's results;
`client.online_vectors` turns None back into NaN.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from pydantic import Field

from features.catalogue.catalogue import Catalogue, CatalogueParameters
from features.domain.payment import Payment
from features.errors import BrokenState, InvalidHistory
from features.feast_store.redis_reader import RedisVelocity
from features.feast_store.views import NOT_SENT, PROFILE_COLUMNS, id_column, profile_of, profile_values
from features.state.memory import State
from features.state.profiles import ProfileFile

log = logging.getLogger("riskgate.feast")

Clock = Callable[[], int]
Row = tuple[datetime | None, dict[str, Value] | None]
Written = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class RiskgateOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Where the online store finds profiles and snapshots; paths are relative to the Feast repository."""

    type: Literal["features.feast_store.online_store.RiskgateOnlineStore"] = (
        "features.feast_store.online_store.RiskgateOnlineStore"
    )

    profiles: str = "data/profiles.sqlite"
    """The SQLite file of profile versions."""

    snapshots: str = "data/snapshots"
    """Folder of state snapshots (`*.state`), read if no live state is attached."""

    redis_url: str = ""
    """The Redis of the production profile; if set, velocity is read there and not from snapshots."""

    redis_prefix: str = "rg"
    """Prefix of the keys there (RISKGATE_REDIS_PREFIX)."""

    catalogue: dict[str, Any] = Field(default_factory=dict)
    """The parameters of the catalogue, as in `CatalogueParameters`."""


class RiskgateOnlineStore(OnlineStore):  # type: ignore[misc]
    """Reads the state and the profiles; one thread at a time, like the state."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._redis: RedisVelocity | None = None
        self._clock: Clock = _wall_clock_ms
        self._profiles: ProfileFile | None = None
        self._loaded: tuple[Path, int] | None = None
        self._damaged: set[tuple[int, Path]] = set()

    def attach(self, state: State, clock: Clock) -> None:
        """Read from this live state; `clock` returns the current time in ms UTC."""
        self._state, self._clock, self._loaded = state, clock, None

    def set_clock(self, clock: Clock) -> None:
        """Read as of the time of `clock`, in ms UTC."""
        self._clock = clock

    def profile_file(self, config: RepoConfig) -> ProfileFile:
        """The file of profile versions behind the profile views."""
        if self._profiles is None:
            self._profiles = ProfileFile(_resolve(config, config.online_store.profiles))
        return self._profiles

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Row]:
        """The values of each key as of now; (None, None) for a party without a profile.

        Raises:
            InvalidHistory: the view is a velocity view and there is neither a live state nor a snapshot.
            ContractMismatch: the snapshot was made with another catalogue.
            StoreUnavailable: Redis does not answer.
        """
        names = requested_features or [feature.name for feature in table.features]
        keys = [_ids(key) for key in entity_keys]
        entity = _profiled(table)
        if entity is not None:
            return self._read_profiles(config, entity, [key[id_column(entity)] for key in keys], names)
        return self._read_velocity(config, keys, names)

    def _read_velocity(self, config: RepoConfig, keys: list[dict[str, str]], names: Sequence[str]) -> list[Row]:
        state, now_ms = self._live_state(config), self._clock()
        columns = [state.catalogue.index[name] for name in names]
        moment = _moment(now_ms)
        rows: list[Row] = []
        for key in keys:
            values = state.observe(_probe(key, now_ms, state.catalogue))[columns]
            rows.append((moment, dict(zip(names, _values(values), strict=True))))
        return rows

    def _read_profiles(self, config: RepoConfig, entity: str, entity_ids: list[str], names: Sequence[str]) -> list[Row]:
        kinds = PROFILE_COLUMNS[entity]
        rows: list[Row] = []
        for row in self.profile_file(config).as_of(entity, entity_ids, self._clock()):
            if row is None:
                rows.append((None, None))
                continue
            values = profile_values(row)
            rows.append((_moment(row.event_time_ms), {n: _value(values[n], kinds[n][0]) for n in names}))
        return rows

    def _live_state(self, config: RepoConfig) -> State | RedisVelocity:
        if self._state is not None and self._loaded is None:
            return self._state
        if config.online_store.redis_url:
            if self._redis is None:
                store = config.online_store
                self._redis = RedisVelocity(store.redis_url, store.redis_prefix, _catalogue(config))
            return self._redis
        return self._snapshot(config)

    def _snapshot(self, config: RepoConfig) -> State:
        """The state of the newest intact snapshot; a damaged one is logged once and skipped."""
        folder = _resolve(config, config.online_store.snapshots)
        for found in sorted(_snapshots_in(folder), reverse=True):
            modified, path = found
            if self._state is not None and self._loaded == (path, modified):
                return self._state
            if found in self._damaged:
                continue
            try:
                self._state, self._loaded = State.load(path, _catalogue(config)), (path, modified)
            except BrokenState as error:
                log.warning("snapshot %s is not used: %s", path.name, error)
                self._damaged.add(found)
            except OSError as error:  # may be temporary: the snapshot is tried again
                log.warning("snapshot %s is not used: It cannot be read: %s.", path.name, error.strerror)
            else:
                return self._state
        raise InvalidHistory(
            "No live state is attached and there is no snapshot to read velocity from.",
            "Attach one with client.attach, or write a snapshot with State.save.",
        )

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Written],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append profile versions; velocity is folded from events and cannot be written.

        Raises:
            InvalidHistory: the view is a velocity view.
        """
        entity = _profiled(table)
        if entity is None:
            raise InvalidHistory(
                f"`{table.name}` is folded from the ledger and cannot be written.",
                "Materialise the profile views only, or replay the history.",
            )
        rows = []
        for key, features, event, created in data:
            values = {name: _python(value) for name, value in features.items()}
            times = (_milliseconds(event), _milliseconds(created or event))
            rows.append((_ids(key)[id_column(entity)], profile_of(entity, values, *times)))
        self.profile_file(config).write(rows)
        if progress:
            progress(len(rows))

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the profile file; the versions of a removed view stay, since the file is append-only."""
        self.profile_file(config)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete the profile versions; state and ledger belong to the service and stay."""
        self.profile_file(config).forget_all()

    def detach(self) -> None:
        """Close the profile file and drop the state."""
        if self._profiles is not None:
            self._profiles.close()
        if self._redis is not None:
            self._redis.close()
        self._profiles, self._state, self._loaded, self._redis = None, None, None, None


def _snapshots_in(folder: Path) -> Iterator[tuple[int, Path]]:
    """(time of the last change, path) of every snapshot."""
    for path in folder.glob("*.state"):
        with contextlib.suppress(FileNotFoundError):  # the service replaced it just now
            yield path.stat().st_mtime_ns, path


def _profiled(table: FeatureView) -> str | None:
    """The entity of a profile view, None for a velocity view."""
    return next((entity for entity in PROFILE_COLUMNS if table.name == f"{entity}_profile"), None)


def _probe(key: dict[str, str], now_ms: int, catalogue: Catalogue) -> Payment:
    """A payment that reads the velocity of these ids; the window features use nothing else of it."""
    return Payment(
        transaction_id=NOT_SENT,
        event_time_ms=now_ms,
        amount_minor=0,
        currency=catalogue.parameters.reference_currency,
        rail="upi",
        channel="online",
        payer_id=key.get("payer_id", NOT_SENT),
        instrument_id=key.get("instrument_id", NOT_SENT),
        payee_id=key.get("payee_id", NOT_SENT),
        device_id=key.get("device_id") or None,
        ip=key.get("ip") or None,
    )


def _ids(key: EntityKey) -> dict[str, str]:
    return {name: value.string_val for name, value in zip(key.join_keys, key.entity_values, strict=True)}


def _values(values: npt.NDArray[np.float64]) -> list[Value]:
    return [Value() if value != value else Value(double_val=value) for value in values.tolist()]


def _value(value: Any, kind: str) -> Value:
    if value is None:
        return Value()
    return Value(string_val=value) if kind == "str" else Value(int64_val=value)


def _python(value: Value) -> Any:
    which = value.WhichOneof("val")
    return None if which is None else getattr(value, which)


def _catalogue(config: RepoConfig) -> Catalogue:
    return Catalogue(msgspec.convert(config.online_store.catalogue, CatalogueParameters))


def _resolve(config: RepoConfig, path: str) -> Path:
    return Path(config.repo_path or ".") / path


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _milliseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # Feast: a naive time is UTC
    return round(aware.timestamp() * 1000)


def _wall_clock_ms() -> int:
    return _milliseconds(datetime.now(UTC))
