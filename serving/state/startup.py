"""From settings to a running engine: the checks that refuse a wrong start, and the fold of the ledger."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from features.bundle.bundle import Bundle, read_bundle
from features.catalogue.catalogue import Catalogue, catalogue_of
from features.errors import BrokenBundle, RiskgateError
from features.intake.pseudonyms import Pseudonyms
from features.state.profiles import ProfileFile
from serving.decision.evaluator import Judge
from serving.errors import CannotStart, LedgerError
from serving.ledger import open
from serving.ledger.hash_key import pseudonyms_of
from serving.ledger.promotions import promotions
from serving.ledger.sqlite.ledger import Ledger
from serving.model import bundle_archive
from serving.settings import Settings
from serving.state import snapshots
from serving.state.fold import Fold, Promotion, encode
from serving.state.profile_events import profile_page
from serving.state.set_aside import remember, remembered

log = logging.getLogger("riskgate.start")


class Opened(msgspec.Struct, frozen=True):
    """A bundle that fits this code, ready to judge."""

    bundle: Bundle
    catalogue: Catalogue
    judge: Judge


def open_bundle(folder: Path, settings: Settings) -> Opened:
    """Read a bundle, compare it with this code and keep a copy for `verify`.

    Raises: BrokenBundle, ContractMismatch.
    """
    bundle = read_bundle(folder)
    catalogue = catalogue_of(bundle.contract)
    judge = Judge(bundle, catalogue, pseudonyms_of(settings))
    bundle_archive.keep(folder, bundle, settings.var / "bundles")
    return Opened(bundle, catalogue, judge)


def open_champion(find: Callable[[], Path], settings: Settings) -> tuple[Opened, str]:
    """The bundle to serve, and why it is not the one that lies there (empty if it is).

    A damaged bundle is no reason to stop deciding: the champion that the ledger named last goes on.
    Raises: CannotStart, BrokenBundle when there was no champion yet, ContractMismatch.
    """
    folder = find()
    try:
        return open_bundle(folder, settings), ""
    except BrokenBundle as error:
        opened = _last_champion(settings)
        if opened is None:
            raise
        told = f"The bundle in {folder} is refused, {opened.bundle.model_name} goes on: {error}"
        log.critical("%s", told)
        return opened, told


def _last_champion(settings: Settings) -> Opened | None:
    try:
        with open.opened(settings) as ledger:
            known = promotions(ledger)
        if not known:
            return None
        last = known[-1]
        bundle = bundle_archive.kept_bundle(settings.var / "bundles", last.bundle, last.policy)
        catalogue = catalogue_of(bundle.contract)
        return Opened(bundle, catalogue, Judge(bundle, catalogue, pseudonyms_of(settings)))
    except (LedgerError, RiskgateError) as error:
        log.error("the last champion cannot be opened: %s", error)
        return None


def lock(settings: Settings) -> IO[str]:
    """Hold the ledger for this process: two services on one ledger would tear its order apart.

    Raises: CannotStart when another process holds it.
    """
    settings.var.mkdir(parents=True, exist_ok=True)
    file = (settings.var / "service.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise CannotStart(
            f"Another process serves the ledger in {settings.var}.",
            "Stop it first, or set RISKGATE_VAR to a folder of its own.",
        ) from error
    return file


def fold_ledger(ledger: Ledger, catalogue: Catalogue, settings: Settings) -> Fold:
    """State, profiles and segment after every event: the latest snapshot and the tail, or the whole ledger."""
    segments = settings.var / "segments"
    snapshot = snapshots.newest(settings.var / "snapshots", ledger, catalogue)
    if snapshot is None:
        fold = Fold(catalogue, segments)
    else:
        state, seq = snapshot
        fold = Fold(catalogue, segments, state)
        for kind in ("history", "profile", "label"):
            for event in ledger.of_kind(kind):
                if event.seq <= seq:
                    fold.apply(event, state_included=True)
        for event in remembered(settings.var, ledger, seq):
            fold.look_again(event)
        fold.seq = seq
    for event in ledger.walk(fold.seq):
        fold.apply(event)
    fold.set_aside.tell()
    remember(settings.var, fold.set_aside)
    return fold


def save_snapshot(fold: Fold, ledger: Ledger, settings: Settings) -> Path:
    """Write the state with the position it stands for; the ledger must be flushed."""
    return snapshots.save(fold.state, ledger, settings.var / "snapshots")


def note_promotion(ledger: Ledger, opened: Opened, features: str, code: str, now_ms: int) -> None:
    """Write a `promotion` event when another bundle decides from here on."""
    own = Promotion(opened.bundle.digest, opened.bundle.model_name, opened.bundle.policy.digest, features, code)
    known = promotions(ledger)
    if not known or known[-1] != own:
        ledger.append_now("promotion", "", now_ms, time.time_ns() // 1_000_000, encode(own))


def take_profiles(file: ProfileFile, ledger: Ledger, fold: Fold, names: Pseudonyms | None = None) -> int:
    """Make new rows of the profile file events of the ledger, and fold them; how many there were.

    The file has clear instruments; with `names` the ledger gets pseudonyms. A row that cannot be folded is named
    in the log and passed over.
    """
    taken = 0
    while page := profile_page(file, fold.profile_row, fold.catalogue, names):
        if page.events:
            ledger.append_many([event[1:] for event in page.events])
        for step in page.steps:
            fold.take(step)
        fold.profile_row = page.last_row
        taken += len(page.events)
    return taken
