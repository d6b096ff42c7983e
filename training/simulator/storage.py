"""A world on disk: one parquet partition a day, written whole or not at all, resumed where it stopped."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InvalidHistory
from features.state.profiles import ProfileFile
from training.simulator.manifest import Manifest, keep, opened, partition, read_manifest
from training.simulator.parameters import World
from training.simulator.profiles import profiles_of
from training.simulator.simulate import Play

PROFILES = "profiles.sqlite"
_UNIQUE = ("transaction_id", "event_time", "amount_minor", "latitude", "longitude", "outcome_time", "label_time")
_PARTIES = ["payer_id", "instrument_id", "payee_id"]
DayDone = Callable[[int], None]
"""Called with the number of payments of each day, written or found."""


def write_world(world: World, folder: Path, fresh: bool = False, on_day: DayDone = lambda _: None) -> Manifest:
    """Write every day of a world that `folder` does not hold yet; what is there is left alone.

    Args:
        world: its parameters.
        folder: gets `history/day=.../`, `truth/day=.../` and `manifest.json`.
        fresh: remove what the folder holds first.
        on_day: told how far it is.

    Raises:
        InvalidDeclaration: parameters that cannot be, all problems together; nothing is touched.
        WorldMismatch: the folder holds another world.
    """
    world.check()
    if fresh:
        forget(folder)
    manifest = opened(folder, world)
    _drop_half_written(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keep(folder, manifest)
    play = Play(world)
    with ThreadPoolExecutor(1) as beside:  # writing one day beside making the next
        waiting: Future[tuple[dt.date, int]] | None = None
        for day, date in enumerate(world.dates):
            if date.isoformat() in manifest.days:
                on_day(manifest.days[date.isoformat()])
                continue
            made = beside.submit(_written, folder, date, *play.tables(day))
            if waiting is not None:
                _noted(folder, manifest, waiting, on_day)
            waiting = made
        if waiting is not None:
            _noted(folder, manifest, waiting, on_day)
    manifest.days = dict(sorted(manifest.days.items()))
    manifest.complete = True
    keep(folder, manifest)
    return manifest


def forget(folder: Path) -> None:
    """Remove what `write_world` wrote, and only that."""
    for part in ("history", "truth"):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in ("manifest.json", PROFILES):
        (folder / name).unlink(missing_ok=True)


def read_history(folder: Path, first: dt.date | None = None, last: dt.date | None = None) -> pa.Table:
    """The history of a written world, or of some of its days (both included), in order of time.

    Raises:
        InvalidHistory: there is none, or it is not whole.
    """
    return pa.concat_tables(list(_days(folder, "history", first, last)))


def read_truth(folder: Path, first: dt.date | None = None, last: dt.date | None = None) -> pa.Table:
    """What only the simulator knows, row by row like the history: transaction, story, whether it is fraud."""
    return pa.concat_tables(list(_days(folder, "truth", first, last)))


def write_profiles(folder: Path) -> Path:
    """Write the profiles of everybody whom the history of this folder names; the file beside the manifest."""
    manifest = _whole(folder)
    named = pa.concat_tables([day.select(_PARTIES) for day in _days(folder, "history", None, None)])
    target = folder / PROFILES
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    file = ProfileFile(partial)
    file.write(profiles_of(Play(manifest.parameters).cast, named))
    file.close()
    partial.replace(target)
    return target


def _days(folder: Path, table: str, first: dt.date | None, last: dt.date | None) -> Iterator[pa.Table]:
    manifest = _whole(folder)
    for date in manifest.parameters.dates:
        if (first is None or date >= first) and (last is None or date <= last):
            yield pq.read_table(partition(folder, table, date), partitioning=None)


def _whole(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None or not manifest.complete:
        state = "no world" if manifest is None else f"only {len(manifest.days)} days of a world"
        raise InvalidHistory(f"{folder} holds {state}.", "Make it whole: python -m training simulate.")
    return manifest


def _written(folder: Path, date: dt.date, history: pa.Table, truth: pa.Table) -> tuple[dt.date, int]:
    for name, table in (("history", history), ("truth", truth)):
        target = partition(folder, name, date)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        worded = [c for c in table.column_names if c not in _UNIQUE]
        pq.write_table(table, partial, compression="lz4", use_dictionary=worded)
        partial.replace(target)
    return date, history.num_rows


def _noted(folder: Path, manifest: Manifest, waiting: Future[tuple[dt.date, int]], on_day: DayDone) -> None:
    date, count = waiting.result()
    manifest.days[date.isoformat()] = count
    keep(folder, manifest)
    on_day(count)


def _drop_half_written(folder: Path) -> None:
    for left in folder.glob("*/day=*/*.partial"):
        left.unlink()
