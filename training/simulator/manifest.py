"""The manifest of a world on disk: its identity, and the days that are complete.

A partition is written to a temporary file and renamed, so a file in its place is complete. The manifest holds the
digest of version and parameters; days of different worlds are never mixed.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import msgspec

from features.errors import RiskgateError
from training.simulator.parameters import VERSION, World

FILE = "manifest.json"


class WorldMismatch(RiskgateError):
    """A folder holds days of another world, or its manifest cannot be read."""


class Manifest(msgspec.Struct, kw_only=True):
    """The content of a folder; `days` maps a date to its number of payments."""

    world: int
    digest: str
    parameters: World
    days: dict[str, int] = {}
    complete: bool = False

    @property
    def payments(self) -> int:
        """Payments written so far."""
        return sum(self.days.values())


def partition(folder: Path, table: str, date: dt.date) -> Path:
    """The file of one day of a table (`history`, `truth`)."""
    return folder / table / f"day={date.isoformat()}" / f"{table}.parquet"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, None if it has none.

    Raises:
        WorldMismatch: the manifest cannot be read.
    """
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as problem:
        raise WorldMismatch(
            f"{folder / FILE} cannot be read: {problem}.",
            "Name another folder with --out, or begin again with --fresh.",
        ) from problem


def manifest_for(folder: Path, world: World) -> Manifest:
    """The manifest to continue with: the folder's own if it is of this world, else a new one in an empty folder.

    Raises:
        WorldMismatch: the folder holds another world, or files without a manifest.
    """
    found = read_manifest(folder)
    if found is None:
        if (folder / "history").exists():
            raise WorldMismatch(
                f"{folder} holds a history but no manifest.",
                "Name another folder with --out, or begin again with --fresh.",
            )
        return Manifest(world=VERSION, digest=world.digest, parameters=world)
    if found.digest != world.digest:
        raise WorldMismatch(
            f"{folder} holds another world (version {found.world}, digest {found.digest[:12]}; "
            f"wanted is {world.digest[:12]}).",
            "Name another folder with --out, give the same parameters, or begin again with --fresh.",
        )
    # a day counts only if its files exist: a user may have deleted one
    found.days = {
        date: count
        for date, count in found.days.items()
        if all(partition(folder, table, dt.date.fromisoformat(date)).is_file() for table in ("history", "truth"))
    }
    found.complete = False
    return found


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest atomically."""
    target = folder / FILE
    partial = target.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    partial.replace(target)
