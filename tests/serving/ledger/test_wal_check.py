"""Damage of the WAL, of which SQLite says nothing, is found frame by frame; an interrupted commit is no damage."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from serving.errors import CannotStart
from serving.ledger.open import opened
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.wal_check import wal_damage
from serving.ledger.sqlite.wal_preallocate import log_of
from serving.store_config import LedgerConfig
from tests.serving.ledger.damage import FRAME_BYTES, WAL_HEADER_BYTES, flip, flip_frame, frames

EVENTS = 30


def killed(folder: Path, rows: Sequence[Sequence[int]] = ((1_500,),) * EVENTS, onto: Path | None = None) -> Path:
    """The files of a ledger whose process was killed after commits of events with bodies of these sizes."""
    folder.mkdir(exist_ok=True)
    whole = Path(tempfile.mkdtemp(dir=folder)) / "ledger.sqlite"
    if onto is not None:
        copy(onto, whole)
    ledger = Ledger(whole)
    for place, sizes in enumerate(rows):
        events = [("payment", f"{folder.name}-{place}-{one}", 1, 1, b"x" * size) for one, size in enumerate(sizes)]
        ledger.append_many(events)
    copy(whole, folder / "ledger.sqlite")
    ledger.close()
    return folder / "ledger.sqlite"


def copy(source: Path, target: Path) -> None:
    """Copy a ledger with its WAL."""
    for path in (source, log_of(source)):
        target.with_name(path.name).write_bytes(path.read_bytes())


def events_of(path: Path) -> int:
    """What SQLite reads without an error."""
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
        return int(count)


def test_an_intact_log_has_no_damage_and_neither_has_none(tmp_path: Path) -> None:
    path = killed(tmp_path)
    assert wal_damage(log_of(path)) is None
    assert events_of(path) == EVENTS
    assert wal_damage(tmp_path / "nothing-wal") is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("offset", [2, 9, 30, 4_000])  # page number, salt, head of the page, end of the page
def test_the_first_damaged_frame_is_named_where_sqlite_only_stops(tmp_path: Path, share: float, offset: int) -> None:
    path = killed(tmp_path)
    whole = frames(path)
    frame = 1 + int(share * (whole - 3))
    flip(log_of(path), WAL_HEADER_BYTES + (frame - 1) * FRAME_BYTES + offset)
    found = wal_damage(log_of(path))
    assert found is not None
    assert (found.frame, found.dropped) == (frame, whole - frame + 1)
    if frame > 20:
        assert events_of(path) < EVENTS


@pytest.mark.parametrize("offset", [1, 10, 17, 25])  # magic, page size, salt, checksum
def test_a_damaged_header_drops_the_whole_log(tmp_path: Path, offset: int) -> None:
    path = killed(tmp_path)
    flip(log_of(path), offset)
    found = wal_damage(log_of(path))
    assert found is not None
    assert (found.frame, found.dropped) == (0, frames(path))
    assert "in its header" in found.sentence()


def test_an_interrupted_commit_is_no_damage(tmp_path: Path) -> None:
    path = killed(tmp_path)
    flip_frame(path, frames(path))  # the last frame of the last commit: as torn by a kill as by a disk
    assert wal_damage(log_of(path)) is None


def test_frames_of_an_interrupted_commit_behind_a_shorter_one_are_no_damage(tmp_path: Path) -> None:
    first = killed(tmp_path / "first")
    whole = frames(first)
    second = killed(tmp_path / "second", [(3_000,) * 20], onto=first)
    longer = frames(second)
    assert longer > whole + 20
    os.truncate(log_of(second), WAL_HEADER_BYTES + (longer - 1) * FRAME_BYTES)  # its last frame was not written
    third = killed(tmp_path / "third", [(100,)], onto=second)
    assert frames(third) == longer - 1
    assert wal_damage(log_of(third)) is None
    assert events_of(third) == EVENTS + 1


def test_a_command_refuses_a_damaged_log_and_leaves_every_byte_of_it(tmp_path: Path) -> None:
    path = killed(tmp_path)
    flip_frame(path, 20)
    before = log_of(path).read_bytes()
    named = r"ledger\.sqlite-wal is damaged at frame 20 \(page \d+\)"
    with pytest.raises(CannotStart, match=named) as refused, opened(LedgerConfig(tmp_path)):
        pass
    assert "backup" in refused.value.repair
    assert log_of(path).read_bytes() == before
