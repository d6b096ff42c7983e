"""A snapshot is written beside the service by a process of its own; killed or without a disk, it harms nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from features.catalogue.catalogue import Catalogue, catalogue, catalogue_of
from serving.engine.embedded import runtime as runtimes
from serving.engine.embedded.snapshot_process import SnapshotProcess
from serving.ledger.event_bodies import decode_promotion
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.low_priority import NICENESS
from serving.model import bundle_archive
from serving.settings import Settings
from serving.state import snapshots
from serving.state.fold import Fold
from serving.state.snapshot_writer import free_memory_bytes
from serving.state.startup import fold_ledger
from tests.chaos.proof import apart, packed
from tests.fixtures.ledgers import CLEAR_V1
from tests.serving.asgi import Asked
from tests.serving.full_disk import full_disk
from tests.serving.scoring_world import payment

LAST = CLEAR_V1.events
PATIENCE_SECONDS = 90


class World(NamedTuple):
    """A ledger with a history, profiles, labels and verdicts, without a snapshot."""

    settings: Settings
    known: Catalogue
    writer: SnapshotProcess

    @property
    def folder(self) -> Path:
        return self.settings.ledger.snapshots

    def opened(self) -> Ledger:
        return Ledger(self.settings.ledger.sqlite)

    def write(self) -> None:
        """Let the process do its work to the end."""
        self.writer.start(self.known.contract(), 0)
        finish(self.writer)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = CLEAR_V1.unpack(tmp_path)
    shutil.rmtree(settings.var / "snapshots")
    ledger = Ledger(settings.ledger.sqlite)
    last = decode_promotion(ledger.of_kind("promotion")[-1].body)
    ledger.close()
    bundle = bundle_archive.kept_bundle(settings.var / "bundles", last.bundle, last.policy)
    writer = SnapshotProcess(settings.ledger, "text")
    yield World(settings, catalogue_of(bundle.contract), writer)
    writer.end()


def finish(writer: SnapshotProcess) -> None:
    assert writer.process is not None
    writer.process.join(PATIENCE_SECONDS)
    writer.reap(writer.process)
    assert writer.process is None


def whole(world: World) -> Fold:
    """The fold of every event, without any snapshot."""
    ledger, fold = world.opened(), Fold(world.known, world.settings.ledger.segments)
    for event in ledger.walk():
        fold.apply(event)
    ledger.close()
    return fold


def agree(found: Fold, expected: Fold) -> None:
    assert apart(packed(found.state, found.catalogue), packed(expected.state, expected.catalogue)) == 0
    assert found.state.too_late == expected.state.too_late
    assert (found.verdict_seq, found.profile_row) == (expected.verdict_seq, expected.profile_row)
    assert found.profiles.encoded() == expected.profiles.encoded()
    assert found.set_aside.named() == expected.set_aside.named()
    assert (found.segment is None) == (expected.segment is None)


def started(world: World) -> Fold:
    ledger = world.opened()
    try:
        return fold_ledger(ledger, world.known, world.settings.ledger)
    finally:
        ledger.close()


def test_a_start_from_its_snapshot_reads_nothing_of_the_past_and_knows_all_of_it(world: World) -> None:
    expected = whole(world)
    assert expected.profile_row and len(expected.profiles) and expected.segment is not None
    world.write()
    assert world.writer.seq == LAST
    ledger = world.opened()
    names = [event.transaction_id for event in ledger.walk() if event.kind == "payment" and event.seq < LAST]
    ledger.close()
    # Whoever reads an event before the snapshot finds it empty; the history is opened by its event.
    with sqlite3.connect(world.settings.ledger.sqlite) as connection:
        connection.execute(
            "UPDATE events SET body = x'', transaction_id = 'gone-' || seq WHERE seq < ? AND kind <> 'history'", (LAST,)
        )
    connection.close()
    fold = started(world)
    agree(fold, expected)
    assert fold.snapshot_seq == LAST
    ledger = world.opened()
    ledger.learn_ids(fold.ids, fold.snapshot_seq)
    assert all(ledger.may_hold(name) for name in names)
    assert sum(ledger.may_hold(f"gone-{seq}") for seq in range(LAST)) < 20
    ledger.close()


def test_what_was_set_aside_before_the_snapshot_is_named_by_the_next_start(world: World) -> None:
    with sqlite3.connect(world.settings.ledger.sqlite) as connection:
        connection.execute("UPDATE events SET body = x'7b' WHERE seq = 300")
    connection.close()
    expected = whole(world)
    assert [one.seq for one in expected.set_aside.named()] == [300]
    world.write()
    agree(started(world), expected)


def test_the_process_has_low_priority(world: World) -> None:
    world.writer.start(world.known.contract(), 0)
    assert world.writer.process is not None and world.writer.process.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, world.writer.process.pid) == NICENESS
    finish(world.writer)


def test_killed_at_any_moment_it_leaves_the_state_as_it_is_and_the_next_one_clears_up(world: World) -> None:
    expected = whole(world)
    began = time.monotonic()
    world.write()
    seconds = time.monotonic() - began
    for part in range(3):
        world.writer.start(world.known.contract(), 0)
        time.sleep(seconds * (0.5 + 0.2 * part))
        world.writer.end()
        agree(started(world), expected)
    (world.folder / "state-000000000007.partial").write_bytes(b"what a killed process left")
    world.write()
    assert sorted(path.name for path in world.folder.iterdir()) == [f"state-{LAST:012d}.state"]


def test_a_process_that_was_killed_is_followed_by_another_later(world: World) -> None:
    now = [0.0]
    writer = SnapshotProcess(world.settings.ledger, "text", clock=lambda: now[0])
    writer.start(world.known.contract(), 0)
    assert writer.process is not None
    writer.process.kill()
    finish(writer)
    assert (writer.seq, writer.is_due(LAST + 25_000)) == (0, False)
    now[0] = writer.retry_seconds
    assert writer.is_due(LAST + 25_000) and not writer.is_due(24_999)


@pytest.mark.parametrize("fault", ("full", "no folder", "no memory"))
def test_without_disk_or_memory_it_says_so_and_the_service_goes_on(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    service = Asked(tmp_path / "var", bundle)
    service.load()
    try:
        assert service.ask("POST", "/v1/score", payment("s-1")).json()["receipt_id"]
        writer, contract = service.runtime.snapshots, service.runtime.opened.bundle.contract
        folder = service.runtime.config.snapshots
        if fault == "full":
            with full_disk(service.runtime.config.sqlite):
                writer.start(contract, 0)
            finish(writer)
        elif fault == "no folder":
            folder.write_bytes(b"")
            writer.start(contract, 0)
            finish(writer)
            folder.unlink()
        else:
            writer.start(contract, 1 << 50)
            finish(writer)
        said = [line for line in capfd.readouterr().err.splitlines() if "no snapshot is written" in line]
        reason = "a second state needs" if fault == "no memory" else "File "
        assert len(said) == 1 and f"a later one is tried: {reason}" in said[0]
        assert not list(folder.glob("*")) and writer.seq == 0
        assert service.ask("POST", "/v1/score", payment("s-2")).json()["receipt_id"]
        writer.start(contract, 0)
        finish(writer)
        assert writer.seq == service.runtime.ledger.last_seq()
    finally:
        service.close()


def test_a_snapshot_of_another_catalogue_is_not_used_and_not_taken_away(world: World) -> None:
    world.write()
    ledger = world.opened()
    ledger.append_now("hashing", "", 1, 1, b'{"fingerprint":""}')
    other = catalogue()
    assert other.contract().hash != world.known.contract().hash
    world.writer.start(other.contract(), 0)
    finish(world.writer)
    for known, seq in ((world.known, LAST), (other, LAST + 1)):
        found = snapshots.newest(world.folder, ledger, known)
        assert found is not None and found.seq == seq
    ledger.close()


def test_a_start_that_folded_a_long_tail_leaves_a_snapshot_before_it_is_ready(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Asked(tmp_path / "var", bundle)
    service.load()
    for number in range(12):
        service.ask("POST", "/v1/score", payment(f"s-{number}"))
    service.runtime.ledger.release()
    service.runtime.lock.close() if service.runtime.lock else None
    monkeypatch.setattr(runtimes, "LONG_TAIL", 10)
    again = Asked(tmp_path / "var", bundle)
    again.load()
    assert again.runtime.snapshots.seq >= 12
    found = snapshots.newest(again.runtime.config.snapshots, again.runtime.ledger, again.runtime.opened.catalogue)
    assert found is not None and found.seq == again.runtime.snapshots.seq
    again.close()


def test_memory_is_counted_of_the_machine_and_of_the_container(tmp_path: Path) -> None:
    machine, container = tmp_path / "meminfo", tmp_path / "cgroup"
    assert free_memory_bytes(machine, container) is None
    machine.write_text("MemTotal: 900 kB\nMemAvailable: 500 kB\nHugePages_Total: 0\n")
    assert free_memory_bytes(machine, container) == 500 << 10
    container.mkdir()
    for name, text in (("max", "max"), ("current", "300000"), ("stat", "anon 1\ninactive_file 100000")):
        (container / f"memory.{name}").write_text(f"{text}\n")
    assert free_memory_bytes(machine, container) == 500 << 10  # no limit
    (container / "memory.max").write_text("400000\n")
    assert free_memory_bytes(machine, container) == 200_000
