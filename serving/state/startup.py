"""Startup: opens the bundle and folds the ledger into the state; refuses a wrong start."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from features.bundle.bundle import Bundle, read_bundle
from features.catalogue.catalogue import Catalogue, catalogue_of
from features.errors import BrokenBundle, RiskgateError
from features.intake.pseudonyms import Pseudonyms
from features.state.profiles import ProfileFile
from serving.decision.evaluator import Evaluator
from serving.errors import LedgerError
from serving.ledger import open
from serving.ledger.hash_key import pseudonyms_of
from serving.ledger.promotions import promotions
from serving.ledger.sqlite.ledger import Ledger
from serving.model import bundle_archive
from serving.settings import Settings
from serving.state import snapshots
from serving.state.fold import Fold, PromotionEvent, encode
from serving.state.profile_events import profile_page
from serving.state.set_aside import save_seqs, saved_events

log = logging.getLogger("riskgate.start")


class Opened(msgspec.Struct, frozen=True):
    """A bundle that fits this code, ready to evaluate payments."""

    bundle: Bundle
    catalogue: Catalogue
    evaluator: Evaluator


def open_bundle(folder: Path, settings: Settings) -> Opened:
    """Read a bundle, compare it with this code and keep a copy for `verify`.

    Raises: BrokenBundle, ContractMismatch.
    """
    bundle = read_bundle(folder)
    catalogue = catalogue_of(bundle.contract)
    evaluator = Evaluator(bundle, catalogue, pseudonyms_of(settings))
    bundle_archive.keep(folder, bundle, settings.var / "bundles")
    return Opened(bundle, catalogue, evaluator)


def open_champion(find: Callable[[], Path], settings: Settings) -> tuple[Opened, str]:
    """Returns the bundle to serve and, if the newest was rejected, the reason.

    A damaged bundle does not stop the service: the last champion in the ledger is served.
    Raises: CannotStart, BrokenBundle when there was no champion yet, ContractMismatch.
    """
    folder = find()
    try:
        return open_bundle(folder, settings), ""
    except BrokenBundle as error:
        opened = _last_champion(settings)
        if opened is None:
            raise
        reason = f"The bundle in {folder} is refused, {opened.bundle.model_name} stays in use: {error}"
        log.critical("%s", reason)
        return opened, reason


def _last_champion(settings: Settings) -> Opened | None:
    try:
        with open.opened(settings) as ledger:
            known = promotions(ledger)
        if not known:
            return None
        last = known[-1]
        bundle = bundle_archive.kept_bundle(settings.var / "bundles", last.bundle, last.policy)
        catalogue = catalogue_of(bundle.contract)
        return Opened(bundle, catalogue, Evaluator(bundle, catalogue, pseudonyms_of(settings)))
    except (LedgerError, RiskgateError) as error:
        log.error("the last champion cannot be opened: %s", error)
        return None


def fold_ledger(ledger: Ledger, catalogue: Catalogue, settings: Settings) -> Fold:
    """State, profiles and segment after every event: from the latest snapshot and the tail, or the whole ledger."""
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
        for event in saved_events(settings.var, ledger, seq):
            fold.recheck(event)
        fold.seq = seq
    for event in ledger.walk(fold.seq):
        fold.apply(event)
    fold.set_aside.write_log()
    save_seqs(settings.var, fold.set_aside)
    return fold


def save_snapshot(fold: Fold, ledger: Ledger, settings: Settings) -> Path:
    """Write the state with its position in the ledger, which must be flushed."""
    return snapshots.save(fold.state, ledger, settings.var / "snapshots")


def note_promotion(ledger: Ledger, opened: Opened, features: str, code: str, now_ms: int) -> None:
    """Write a `promotion` event if the last one names another bundle."""
    own = PromotionEvent(opened.bundle.digest, opened.bundle.model_name, opened.bundle.policy.digest, features, code)
    known = promotions(ledger)
    if not known or known[-1] != own:
        ledger.append_now("promotion", "", now_ms, time.time_ns() // 1_000_000, encode(own))


def append_profiles(file: ProfileFile, ledger: Ledger, fold: Fold, names: Pseudonyms | None = None) -> int:
    """Append new rows of the profile file to the ledger and fold them; returns how many.

    The file has clear instruments; with `names` the ledger gets pseudonyms. A row that cannot be folded is logged and
    skipped.
    """
    appended = 0
    while page := profile_page(file, fold.profile_row, fold.catalogue, names):
        if page.events:
            ledger.append_many([event[1:] for event in page.events])
        for step in page.steps:
            fold.apply_step(step)
        fold.profile_row = page.last_row
        appended += len(page.events)
    return appended
