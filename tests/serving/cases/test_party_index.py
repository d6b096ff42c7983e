from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from serving.cases import party_index
from serving.cases.sqlite import connect
from serving.ledger.sqlite.ledger import Ledger
from tests.serving.console.desk_world import START_MS, DeskWorld, busy_desk, payment


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
    index: sqlite3.Connection, world: DeskWorld
) -> None:
    busy_desk(world)
    assert [party_index.catch_up(index, world.connection, slice_payments=4) for _ in range(5)] == [4, 4, 4, 1, 0]
    assert party_index.behind(index, world.connection) == 0
    world.scored(payment("t-late", event_time_ms=START_MS - 1), "approve", 0.1)
    assert party_index.behind(index, world.connection) == 1
    assert party_index.catch_up(index, world.connection) == 1


def test_a_bulk_writes_each_page_of_the_index_once(world: DeskWorld, tmp_path: Path) -> None:
    ledger, dice = Ledger(tmp_path / "long.sqlite"), random.Random(4)
    body = '{{"payment":{{"payer_id":"u-{}","payee_id":"m-{}","device_id":"d-{}"}}}}'
    names = ((dice.randrange(2_000), dice.randrange(500), dice.randrange(1_600)) for _ in range(4_000))
    ledger.append_many([("payment", f"t-{n}", n, n, body.format(*one).encode()) for n, one in enumerate(names)])
    written = {}
    for slices in (1, 25):
        path = tmp_path / f"index-{slices}.sqlite"
        with closing(party_index.connect(path)) as index:
            index.execute("PRAGMA wal_autocheckpoint=0")
            while party_index.catch_up(index, ledger._connection, slices, slice_payments=20):
                pass
            written[slices] = path.with_name(f"{path.name}-wal").stat().st_size
            assert index.execute("SELECT count(*) FROM payment_index").fetchone() == (4_000,)
    ledger.close()
    assert written[25] * 4 < written[1]


def test_threads_that_fold_the_same_payments_count_nothing_twice(world: DeskWorld) -> None:
    busy_desk(world)

    def fold(slices: int) -> None:
        with (
            closing(connect(world.ledger_path)) as ledger,
            closing(party_index.connect(world.index_path)) as one,
        ):
            while party_index.catch_up(one, ledger, slices):
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fold, (1, 25, 1, 25)))
    with closing(party_index.connect(world.index_path)) as index:
        assert index.execute("SELECT count(*) FROM payment_index").fetchone() == (13,)
        assert party_index.behind(index, world.connection) == 0


def test_a_payment_without_a_device_is_nobodys_device(index: sqlite3.Connection, world: DeskWorld) -> None:
    world.scored(payment("t-1", device_id=None))
    party_index.catch_up(index, world.connection)
    assert found(index, world, "device", "") == []
    assert found(index, world, "payer", "u-1042") == ["t-1"]


def test_an_index_of_another_ledger_is_rebuilt(index: sqlite3.Connection, world: DeskWorld, tmp_path: Path) -> None:
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
