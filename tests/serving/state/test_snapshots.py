"""A damaged, foreign or misplaced snapshot is logged and skipped; the state is always the fold of the ledger."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from features.catalogue.catalogue import Catalogue, catalogue_of
from features.state.memory import Position, State
from serving.ledger.event_bodies import decode_promotion
from serving.ledger.sqlite.ledger import Ledger
from serving.model import bundle_archive
from serving.settings import Settings
from serving.state import snapshots
from serving.state.fold import Fold
from serving.state.startup import fold_ledger
from tests.chaos.proof import apart, packed
from tests.fixtures.ledgers import CLEAR_V1
from tests.serving.asgi import runtime_with
from tests.serving.scoring_world import Service
from training.client.service_process import free_port

OLDER, NEWER, LAST = 250, 300, CLEAR_V1.events
#: A start with other code than the ledger names appends one event that says so.
AT_STOP = LAST + 2  # after the promotion and the lists of the bundle


class World(NamedTuple):
    """A ledger with a good older and a good newer snapshot; `whole` is the state folded from all its events."""

    settings: Settings
    catalogue: Catalogue
    bundle: Path
    whole: State

    @property
    def folder(self) -> Path:
        return self.settings.var / "snapshots"

    def path(self, seq: int) -> Path:
        return self.folder / f"state-{seq:012d}.state"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    settings = CLEAR_V1.unpack(tmp_path_factory.mktemp("made"))
    shutil.rmtree(settings.var / "snapshots")
    ledger = Ledger(settings.ledger.sqlite)
    last = decode_promotion(ledger.of_kind("promotion")[-1].body)
    bundle = bundle_archive.kept_bundle(settings.var / "bundles", last.bundle, last.policy)
    known = catalogue_of(bundle.contract)
    world = World(
        settings, known, settings.var / "bundles" / bundle_archive.folder_name(last.bundle, last.policy), State(known)
    )
    world.folder.mkdir()
    fold = Fold(known, settings.var / "segments")
    for event in ledger.walk():
        fold.apply(event)
        if event.seq in (OLDER, NEWER):
            fold.state.save(world.path(event.seq), snapshots.position_of(ledger, event.seq))
    ledger.close()
    return world._replace(whole=fold.state)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    var = tmp_path / "var"
    shutil.copytree(made.settings.var, var)
    return made._replace(settings=Settings(var=var, clock="replay"))


def folded(world: World, used: int | None) -> None:
    """What a start does: it takes the snapshot of this position (None: none), and its state is the fold."""
    ledger = Ledger(world.settings.ledger.sqlite)
    try:
        found = snapshots.newest(world.folder, ledger, world.catalogue)
        assert (None if found is None else found[1]) == used
        state = fold_ledger(ledger, world.catalogue, world.settings.ledger).state
    finally:
        ledger.close()
    assert apart(packed(state, world.catalogue), packed(world.whole, world.catalogue)) == 0
    assert state.too_late == world.whole.too_late


def flipped(world: World) -> None:
    data = bytearray(world.path(NEWER).read_bytes())
    data[len(data) // 3] ^= 4
    world.path(NEWER).write_bytes(data)


def cut(world: World) -> None:
    os.truncate(world.path(NEWER), 100_000)


def empty(world: World) -> None:
    world.path(NEWER).write_bytes(b"")


def folder(world: World) -> None:
    world.path(NEWER).unlink()
    world.path(NEWER).mkdir()


def unreadable(world: World) -> None:
    """Root reads whatever its mode; a link that leads nowhere else than to itself is unreadable for every user."""
    world.path(NEWER).unlink()
    world.path(NEWER).symlink_to(world.path(NEWER))


def link_to_nothing(world: World) -> None:
    world.path(NEWER).unlink()
    world.path(NEWER).symlink_to(world.folder / "gone")


def pipe(world: World) -> None:
    world.path(NEWER).unlink()
    os.mkfifo(world.path(NEWER))


def of_the_release_before(world: World) -> None:
    old = CLEAR_V1.unpack(world.settings.var.parent / "old").var / "snapshots"
    shutil.copy(next(old.iterdir()), world.path(NEWER))


def of_another_position(world: World) -> None:
    shutil.copy(world.path(OLDER), world.path(NEWER))


def of_another_ledger(world: World) -> None:
    """The same number of events, and another one at the position: a backup was restored and served since."""
    with sqlite3.connect(world.settings.ledger.sqlite) as connection:
        connection.execute("UPDATE events SET arrival_time_ms = arrival_time_ms + 1 WHERE seq = ?", (NEWER,))
    connection.close()


def of_no_ledger(world: World) -> None:
    State(world.catalogue).save(world.path(NEWER), Position(NEWER))


def beyond_the_ledger(world: World) -> None:
    world.path(NEWER).rename(world.path(LAST + 1))


def without_a_number(world: World) -> None:
    world.path(NEWER).rename(world.folder / "state-newest.state")


FAULTS = (
    flipped, cut, empty, folder, unreadable, link_to_nothing, pipe, of_the_release_before, of_another_position,
    of_another_ledger, of_no_ledger, beyond_the_ledger, without_a_number,
)  # fmt: skip


def test_the_newest_good_snapshot_is_used(world: World, caplog: pytest.LogCaptureFixture) -> None:
    folded(world, NEWER)
    assert caplog.records == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_snapshot_that_cannot_be_verified_is_logged_and_the_older_one_is_used(
    world: World, caplog: pytest.LogCaptureFixture, fault: Callable[[World], None]
) -> None:
    fault(world)
    name = next(one.name for one in sorted(world.folder.iterdir(), reverse=True))
    folded(world, OLDER)
    messages = {record.getMessage() for record in caplog.records}
    assert len(messages) == 1
    (sentence,) = messages
    assert sentence.startswith(f"snapshot {name} is not used: ")
    assert "\n" not in sentence


def test_without_any_good_snapshot_the_whole_ledger_is_folded(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for path in world.folder.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    folded(world, None)
    assert len({record.getMessage() for record in caplog.records}) == 2


def test_the_snapshot_of_a_ledger_that_was_set_back_is_not_used(world: World) -> None:
    with sqlite3.connect(world.settings.ledger.sqlite) as connection:
        connection.execute("DELETE FROM events WHERE seq > ?", (NEWER - 10,))
    connection.close()
    ledger = Ledger(world.settings.ledger.sqlite)
    found = snapshots.newest(world.folder, ledger, world.catalogue)
    ledger.close()
    assert found is not None
    assert found[1] == OLDER


def test_saving_keeps_the_new_one_and_the_one_before_it_and_clears_up(world: World) -> None:
    for name in ("state-000000000010.state", "state-000000999999.state", "state-000000000299.partial", "notes.txt"):
        (world.folder / name).write_bytes(b"x")
    world.path(LAST + 7).mkdir()
    ledger = Ledger(world.settings.ledger.sqlite)
    fold = fold_ledger(ledger, world.catalogue, world.settings.ledger)
    path = snapshots.save(fold, ledger, world.settings.ledger.snapshots)
    ledger.close()
    assert path == world.path(LAST)
    kept = {world.path(NEWER), world.path(LAST), world.path(LAST + 7), world.folder / "notes.txt"}
    assert set(world.folder.iterdir()) == kept
    folded(world, LAST)


def test_a_runtime_starts_and_stops_with_every_fault_at_its_place(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    flipped(world)
    world.path(OLDER).unlink()
    world.path(OLDER).mkdir()
    world.path(AT_STOP).mkdir()  # where the stop would write its own
    runtime = runtime_with(world.settings, world.bundle)
    with caplog.at_level(logging.WARNING):
        runtime.load()
    engine = runtime.engine
    assert engine is not None
    assert apart(packed(engine.fold.state, world.catalogue), packed(world.whole, world.catalogue)) == 0
    # The one beyond the ledger, the damaged one, and the folder.
    assert sum("is not used" in record.getMessage() for record in caplog.records) == 3
    asyncio.run(runtime.end())
    assert "no snapshot is written" in caplog.text


def test_the_process_starts_on_a_damaged_snapshot_and_repairs_it_by_its_stop(world: World, tmp_path: Path) -> None:
    flipped(world)
    log = tmp_path / "service.log"
    service = Service(world.settings.var, world.bundle, free_port(), log)
    try:
        service.wait_until_ready()
    finally:
        assert service.stop() == 0
    assert log.read_text().count(f"snapshot {world.path(NEWER).name} is not used: It does not match its digest") == 1
    assert "Traceback" not in log.read_text()
    folded(world, AT_STOP)
