"""The champion at start: opened once, then handed to the runtime and its bundle watcher."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from features.bundle.bundle import FILES
from features.errors import BrokenBundle, RiskgateError
from serving.errors import LedgerError
from serving.ledger import open
from serving.ledger.promotions import promotions
from serving.model import bundle_archive
from serving.state.startup import Opened, open_bundle, opened_of
from serving.store_config import LedgerConfig

log = logging.getLogger("riskgate.start")

Fingerprint = tuple[object, ...]


class BundleSource(NamedTuple):
    """Where a process finds its bundle: `find` returns the folder of the newest one.

    `ledger` names the former champions.
    """

    find: Callable[[], Path]
    ledger: LedgerConfig


class Champion(NamedTuple):
    """The bundle to serve; `rejected` says why the newest one is not served (empty if it is).

    `seen` is the fingerprint of the newest one before it was opened.
    """

    opened: Opened
    rejected: str
    source: BundleSource
    seen: Fingerprint


def open_champion(source: BundleSource) -> Champion:
    """Open the newest bundle, or the last champion of the ledger if that is damaged.

    Raises: CannotStart, BrokenBundle when there was no champion yet, ContractMismatch.
    """
    seen = fingerprint_of(source.find)
    folder = source.find()
    try:
        return Champion(open_bundle(folder, source.ledger), "", source, seen)
    except BrokenBundle as error:
        opened = _last_champion(source)
        if opened is None:
            raise
        reason = f"The bundle in {folder} is refused, {opened.bundle.model_name} stays in use: {error}"
        log.critical("%s", reason)
        return Champion(opened, reason, source, seen)


def _last_champion(source: BundleSource) -> Opened | None:
    try:
        with open.opened(source.ledger) as ledger:
            known = promotions(ledger)
        if not known:
            return None
        last = known[-1]
        bundle = bundle_archive.kept_bundle(source.ledger.bundles, last.bundle, last.policy)
        return opened_of(bundle, source.ledger.hash_key)
    except (LedgerError, RiskgateError) as error:
        log.error("the last champion cannot be opened: %s", error)
        return None


def fingerprint_of(find: Callable[[], Path]) -> Fingerprint:
    """Paths, inodes, sizes and times of the bundle's files: cheap, and different for every other bundle."""
    try:
        folder = find().resolve()
        stats = [(folder / name).stat() for name in FILES]
    except (RiskgateError, OSError) as error:
        return ("nothing", type(error).__name__)
    return (str(folder), *((one.st_ino, one.st_size, one.st_mtime_ns) for one in stats))
