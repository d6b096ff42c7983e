from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import party_index
from tests.serving.desk_world import START_MS, DeskWorld, busy_desk, payment


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    world = DeskWorld(tmp_path)
    yield world
    world.close()


@pytest.fixture
def index(world: DeskWorld) -> Iterator[sqlite3.Connection]:
    connection = party_index.connect(world.index_path)
    yield connection
    connection.close()


def found(index: sqlite3.Connection, world: DeskWorld, party: party_index.Party, identifier: str) -> list[str]:
    events = party_index.payments_of(index, world.connection, party, identifier, limit=8)
    return [event.transaction_id for event in events]


def test_the_payments_of_a_party_come_newest_first(index: sqlite3.Connection, world: DeskWorld) -> None:
    busy_desk(world)
    assert party_index.catch_up(index, world.connection) == 13
    assert found(index, world, "payee", "m-559") == ["t-81f3", "t-81f1"]
    assert found(index, world, "device", "d-9c1") == ["t-8230", "t-8203", "t-81f3", "t-81f1"]
    assert len(found(index, world, "payer", "u-1042")) == 8


def test_catching_up_in_slices_misses_nothing_and_counts_nothing_twice(
    index: sqlite3.Connection, world: DeskWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(party_index, "SLICE", 4)
    busy_desk(world)
    assert [party_index.catch_up(index, world.connection) for _ in range(5)] == [4, 4, 4, 1, 0]
    assert party_index.behind(index, world.connection) == 0
    world.scored(payment("t-late", event_time_ms=START_MS - 1), "approve", 0.1)
    assert party_index.behind(index, world.connection) == 1
    assert party_index.catch_up(index, world.connection) == 1


def test_a_payment_without_a_device_is_nobodys_device(index: sqlite3.Connection, world: DeskWorld) -> None:
    world.scored(payment("t-1", device_id=None))
    party_index.catch_up(index, world.connection)
    assert found(index, world, "device", "") == []
    assert found(index, world, "payer", "u-1042") == ["t-1"]


def test_an_index_of_another_ledger_is_built_anew(index: sqlite3.Connection, world: DeskWorld, tmp_path: Path) -> None:
    busy_desk(world)
    party_index.catch_up(index, world.connection)
    other = DeskWorld(tmp_path / "other")
    other.scored(payment("t-new"))
    assert party_index.catch_up(index, other.connection) == 1
    assert found(index, other, "payer", "u-1042") == ["t-new"]
    other.close()


def test_the_index_never_writes_to_the_ledger(index: sqlite3.Connection, world: DeskWorld) -> None:
    busy_desk(world)
    world.connection.execute("PRAGMA query_only=ON")
    party_index.catch_up(index, world.connection)
    assert found(index, world, "payer", "u-77") == ["t-8203"]
