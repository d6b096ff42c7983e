"""A world on disk: one parquet partition per day, each written atomically; an interrupted run is resumed."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InvalidHistory
from features.state.profiles import ProfileFile, Profiles
from training.simulator.manifest import Manifest, manifest_for, partition, read_manifest, write_manifest
from training.simulator.parameters import World
from training.simulator.profiles import profiles_of
from training.simulator.simulate import Simulator

PROFILES = "profiles.sqlite"
_UNIQUE = ("transaction_id", "event_time", "amount_minor", "latitude", "longitude", "outcome_time", "label_time")
_PARTIES = ["payer_id", "instrument_id", "payee_id"]
DayDone = Callable[[int], None]
"""Called with the number of payments of each day, whether written or already there."""


def write_world(world: World, folder: Path, fresh: bool = False, on_day: DayDone = lambda _: None) -> Manifest:
    """Write every day of a world that `folder` does not hold yet; existing days stay.

    Args:
        world: its parameters.
        folder: gets `history/day=.../`, `truth/day=.../` and `manifest.json`.
        fresh: delete the folder's world first.
        on_day: called after each day.

    Raises:
        InvalidDeclaration: the parameters are invalid; nothing is written.
        WorldMismatch: the folder holds another world.
    """
    world.check()
    if fresh:
        delete_world(folder)
    manifest = manifest_for(folder, world)
    _drop_half_written(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, manifest)
    simulator = Simulator(world)
    with ThreadPoolExecutor(1) as writing:  # writes one day while the next is simulated
        pending: Future[tuple[dt.date, int]] | None = None
        for day, date in enumerate(world.dates):
            if date.isoformat() in manifest.days:
                on_day(manifest.days[date.isoformat()])
                continue
            made = writing.submit(_write_day, folder, date, *simulator.tables(day))
            if pending is not None:
                _record_day(folder, manifest, pending, on_day)
            pending = made
        if pending is not None:
            _record_day(folder, manifest, pending, on_day)
    manifest.days = dict(sorted(manifest.days.items()))
    manifest.complete = True
    write_manifest(folder, manifest)
    return manifest


def delete_world(folder: Path) -> None:
    """Delete what `write_world` and `write_profiles` wrote, and nothing else."""
    for part in ("history", "truth"):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in ("manifest.json", PROFILES):
        (folder / name).unlink(missing_ok=True)


def read_history(folder: Path, first: dt.date | None = None, last: dt.date | None = None) -> pa.Table:
    """The history of a world on disk, or of the days first..last (inclusive), in order of time.

    Raises:
        InvalidHistory: there is no world, or it is incomplete.
    """
    return pa.concat_tables(list(_days(folder, "history", first, last)))


def read_truth(folder: Path, first: dt.date | None = None, last: dt.date | None = None) -> pa.Table:
    """The truth of each row of the history: transaction, typology (column `story`), whether it is fraud."""
    return pa.concat_tables(list(_days(folder, "truth", first, last)))


def read_profiles(folder: Path) -> Profiles:
    """The profiles of all parties of a world, which are written first if they are not there."""
    if not (folder / PROFILES).is_file():
        write_profiles(folder)
    return ProfileFile(folder / PROFILES).load()


def write_profiles(folder: Path) -> Path:
    """Write the profiles of all parties in the history of this folder; returns the file."""
    manifest = _complete_manifest(folder)
    named = pa.concat_tables([day.select(_PARTIES) for day in _days(folder, "history", None, None)])
    target = folder / PROFILES
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    file = ProfileFile(partial)
    file.write(profiles_of(Simulator(manifest.parameters).ctx, named))
    file.close()
    partial.replace(target)
    return target


def _days(folder: Path, table: str, first: dt.date | None, last: dt.date | None) -> Iterator[pa.Table]:
    manifest = _complete_manifest(folder)
    for date in manifest.parameters.dates:
        if (first is None or date >= first) and (last is None or date <= last):
            yield pq.read_table(partition(folder, table, date), partitioning=None)


def _complete_manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None or not manifest.complete:
        state = "no world" if manifest is None else f"only {len(manifest.days)} days of a world"
        raise InvalidHistory(f"{folder} holds {state}.", "Make it whole: python -m training simulate.")
    return manifest


def _write_day(folder: Path, date: dt.date, history: pa.Table, truth: pa.Table) -> tuple[dt.date, int]:
    for name, table in (("history", history), ("truth", truth)):
        target = partition(folder, name, date)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        worded = [c for c in table.column_names if c not in _UNIQUE]
        pq.write_table(table, partial, compression="lz4", use_dictionary=worded)
        partial.replace(target)
    return date, history.num_rows


def _record_day(folder: Path, manifest: Manifest, pending: Future[tuple[dt.date, int]], on_day: DayDone) -> None:
    date, count = pending.result()
    manifest.days[date.isoformat()] = count
    write_manifest(folder, manifest)
    on_day(count)


def _drop_half_written(folder: Path) -> None:
    for left in folder.glob("*/day=*/*.partial"):
        left.unlink()
