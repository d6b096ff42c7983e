"""Profiles of payers, instruments and payees: versioned facts beyond their payments, never overwritten.

A version carries two times: `event_time_ms` is when the fact began to hold, `created_time_ms` when we learned it. At
a point in time the newest version counts whose times have *both* passed (docs/design.md, law 3), so a later backfill
does not change the past. The rule is implemented here (online), in SQL below (the store behind Feast) and in
features/feast_store/asof.py (training); tests compare the three.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from features.errors import RiskgateError


class InvalidProfile(RiskgateError):
    """A profile that cannot be read or belongs to another entity."""


class PayerProfile(msgspec.Struct, frozen=True, kw_only=True, tag="payer", tag_field="entity"):
    """One version of a payer's profile; times are ms UTC, verification_level is 0 (none) to 3."""

    event_time_ms: int
    created_time_ms: int
    known_since_ms: int | None = None
    home_country: str | None = None
    verification_level: int | None = None


class InstrumentProfile(msgspec.Struct, frozen=True, kw_only=True, tag="instrument", tag_field="entity"):
    """One version of the profile of an instrument (card token, wallet, UPI VPA, account)."""

    event_time_ms: int
    created_time_ms: int
    known_since_ms: int | None = None
    kind: str | None = None
    issuer_country: str | None = None


class PayeeProfile(msgspec.Struct, frozen=True, kw_only=True, tag="payee", tag_field="entity"):
    """One version of a payee's profile; size is 0 (street stall) to 4 (international brand)."""

    event_time_ms: int
    created_time_ms: int
    known_since_ms: int | None = None
    mcc: str | None = None
    country: str | None = None
    size: int | None = None


ProfileRow = PayerProfile | InstrumentProfile | PayeeProfile
PROFILE_KINDS: Final[dict[str, type[PayerProfile] | type[InstrumentProfile] | type[PayeeProfile]]] = {
    "payer": PayerProfile,
    "instrument": InstrumentProfile,
    "payee": PayeeProfile,
}
_ROW: Final[msgspec.json.Decoder[ProfileRow]] = msgspec.json.Decoder(ProfileRow)
_VERSIONS: Final = msgspec.msgpack.Decoder(dict[str, dict[str, tuple[ProfileRow, ...]]])
_TIMES: Final = ("event_time_ms", "created_time_ms")


def profile_columns(entity: str) -> tuple[str, ...]:
    """The fields of this entity's profiles, without the two times.

    >>> profile_columns("payer")
    ('known_since_ms', 'home_country', 'verification_level')
    """
    return tuple(name for name in _kind_of(entity).__struct_fields__ if name not in _TIMES)


def encode_profile(row: ProfileRow) -> bytes:
    """The row as canonical JSON: the body of a ledger's `profile` event."""
    return msgspec.json.encode(row, order="sorted")


def decode_profile(body: bytes | str) -> ProfileRow:
    """The row that `encode_profile` wrote.

    Raises:
        InvalidProfile: the body is not a profile.
    """
    try:
        return _ROW.decode(body)
    except msgspec.DecodeError as problem:
        raise InvalidProfile(
            f"This is not a profile: {problem}.",
            "Send entity, event_time_ms, created_time_ms and the columns of that entity.",
        ) from problem


class Profiles:
    """Every version of every profile in memory; `get` is on the hot path (one dictionary look-up)."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[str, tuple[ProfileRow, ...]]] = {kind: {} for kind in PROFILE_KINDS}
        self.empty = True

    def put(self, entity: str, entity_id: str, row: ProfileRow, number: int = 0) -> None:
        """Add one version; the order of arrival does not matter, an exact repetition changes nothing.

        number: its row in the profile file, which only `NumberedProfiles` records.
        Raises:
            InvalidProfile: the row is of another entity.
        """
        if type(row) is not _kind_of(entity):
            raise InvalidProfile(
                f"A profile of a {entity} cannot be a {type(row).__name__}.",
                f"Pass a {_kind_of(entity).__name__}.",
            )
        self.empty = False
        known = self._versions[entity].get(entity_id)
        if known is None:
            self._versions[entity][entity_id] = (row,)
        elif row not in known:
            ordered = list(known)
            insort(ordered, row, key=_age)  # among equal ages the later arrival is last and wins
            self._versions[entity][entity_id] = tuple(ordered)

    def get(self, entity: str, entity_id: str, at_ms: int) -> ProfileRow | None:
        """The version known at `at_ms` (ms UTC, inclusive), None if there was none."""
        for row in reversed(self._versions[entity].get(entity_id, ())):
            if row.event_time_ms <= at_ms and row.created_time_ms <= at_ms:
                return row
        return None

    def versions(self, entity: str) -> Iterator[tuple[str, ProfileRow]]:
        """Every (id, version) of an entity, oldest version first within an id."""
        for entity_id, rows in self._versions[entity].items():
            for row in rows:
                yield entity_id, row

    def encoded(self) -> bytes:
        """Every version as bytes, for `Profiles.decoded`."""
        return msgspec.msgpack.encode(self._versions)

    @staticmethod
    def decoded(encoded: bytes) -> Profiles:
        """The profiles that `encoded` wrote.

        Raises: msgspec.DecodeError for those of another release.
        """
        profiles = Profiles()
        profiles._versions |= _VERSIONS.decode(encoded)
        profiles.empty = not any(profiles._versions.values())
        return profiles

    def __len__(self) -> int:
        return sum(len(rows) for of_entity in self._versions.values() for rows in of_entity.values())


class NumberedProfiles(Profiles):
    """Profiles with their row numbers in the profile file, to reproduce what a process had read by then."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[tuple[str, str, ProfileRow], int] = {}
        #: Later rows are invisible; None: all rows are visible.
        self.until: int | None = None

    def put(self, entity: str, entity_id: str, row: ProfileRow, number: int = 0) -> None:
        """As `Profiles.put`; a repeated version keeps its first row number."""
        super().put(entity, entity_id, row)
        self._numbers.setdefault((entity, entity_id, row), number)

    def get(self, entity: str, entity_id: str, at_ms: int) -> ProfileRow | None:
        """The version known at `at_ms` (ms UTC, inclusive) to a process that had read the file up to `until`."""
        if self.until is None:
            return super().get(entity, entity_id, at_ms)
        for row in reversed(self._versions[entity].get(entity_id, ())):
            known = row.event_time_ms <= at_ms and row.created_time_ms <= at_ms
            if known and self._numbers[entity, entity_id, row] <= self.until:
                return row
        return None


class ProfileFile:
    """All versions in an append-only SQLite file: Feast materialises into it, the service reads from it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        # Feast may call from a worker thread, so the threads share one connection under a lock.
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def write(self, rows: Iterable[tuple[str, ProfileRow]]) -> int:
        """Append (id, version) pairs and return how many were new; a version that is already there is skipped."""
        values = [
            (_entity_of(row), entity_id, row.event_time_ms, row.created_time_ms, encode_profile(row))
            for entity_id, row in rows
        ]
        with self._lock:
            before = self._db.total_changes
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    "INSERT OR IGNORE INTO profiles(entity, entity_id, event_time_ms, created_time_ms, body)"
                    " VALUES (?, ?, ?, ?, ?)",
                    values,
                )
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            return self._db.total_changes - before

    def as_of(self, entity: str, entity_ids: Sequence[str], at_ms: int) -> list[ProfileRow | None]:
        """The version of each id known at `at_ms`, in the order of the ids; one SQL statement for all."""
        _kind_of(entity)
        with self._lock:
            found = dict(self._db.execute(_AS_OF, (json.dumps(list(entity_ids)), entity, at_ms, at_ms)))
        return [decode_profile(found[one]) if one in found else None for one in entity_ids]

    def new_rows_since(self, rowid: int, limit: int = 10_000) -> list[tuple[int, str, str, ProfileRow]]:
        """Versions written after `rowid` as (rowid, entity, id, row), which the service folds as events."""
        return [
            (seq, entity, entity_id, decode_profile(body))
            for seq, entity, entity_id, _, body in self.bodies_since(rowid, limit)
        ]

    def bodies_since(self, rowid: int, limit: int = 10_000) -> list[tuple[int, str, str, int, bytes]]:
        """Versions written after `rowid` as (rowid, entity, id, created time in ms, stored body)."""
        with self._lock:
            rows: list[Any] = self._db.execute(
                "SELECT rowid, entity, entity_id, created_time_ms, body FROM profiles"
                " WHERE rowid > ? ORDER BY rowid LIMIT ?",
                (rowid, limit),
            ).fetchall()
        return [(int(seq), *rest) for seq, *rest in rows]

    def load(self) -> Profiles:
        """Every version, in the order written, as in-memory profiles."""
        profiles, last = Profiles(), 0
        while rows := self.new_rows_since(last):
            for _, entity, entity_id, row in rows:
                profiles.put(entity, entity_id, row)
            last = rows[-1][0]
        return profiles

    def forget_all(self) -> None:
        """Remove every version (Feast's teardown)."""
        with self._lock:
            self._db.execute("DELETE FROM profiles")

    def close(self) -> None:
        """Close the file; further calls fail."""
        with self._lock:
            self._db.close()


# The unique key makes materialising idempotent; of two different bodies of equal age the later one wins.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS profiles(
    rowid INTEGER PRIMARY KEY AUTOINCREMENT,
    entity TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    event_time_ms INTEGER NOT NULL,
    created_time_ms INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE(entity, entity_id, event_time_ms, created_time_ms, body)
);
"""

_AS_OF: Final = """
SELECT asked.value, profiles.body FROM (SELECT DISTINCT value FROM json_each(?)) AS asked
JOIN profiles ON profiles.rowid = (
    SELECT rowid FROM profiles AS version
    WHERE version.entity = ? AND version.entity_id = asked.value
      AND version.event_time_ms <= ? AND version.created_time_ms <= ?
    ORDER BY version.event_time_ms DESC, version.created_time_ms DESC, version.rowid DESC LIMIT 1)
"""


def _kind_of(entity: str) -> type[PayerProfile] | type[InstrumentProfile] | type[PayeeProfile]:
    kind = PROFILE_KINDS.get(entity)
    if kind is None:
        raise InvalidProfile(f"There are no profiles of {entity!r}.", f"Use one of {', '.join(PROFILE_KINDS)}.")
    return kind


def _entity_of(row: ProfileRow) -> str:
    return next(entity for entity, kind in PROFILE_KINDS.items() if type(row) is kind)


def _age(row: ProfileRow) -> tuple[int, int]:
    return row.event_time_ms, row.created_time_ms
