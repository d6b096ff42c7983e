"""The champion as it was opened at start: opened once, then handed to the runtime and its bundle watcher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from serving.settings import Settings
from serving.state import startup
from serving.state.bundle_watcher import Fingerprint, fingerprint_of
from serving.state.startup import Opened


class Champion(NamedTuple):
    """The bundle to serve; `rejected` says why the newest one is not served (empty if it is).

    `find` returns the folder of the newest bundle, `seen` is the fingerprint of that folder before it was opened.
    """

    opened: Opened
    rejected: str
    find: Callable[[], Path]
    seen: Fingerprint


def open_champion(settings: Settings, find: Callable[[], Path]) -> Champion:
    """Open the newest bundle, or the last champion of the ledger if that is damaged.

    Raises: CannotStart, BrokenBundle, ContractMismatch.
    """
    seen = fingerprint_of(find)
    opened, rejected = startup.open_champion(find, settings)
    return Champion(opened, rejected, find, seen)
