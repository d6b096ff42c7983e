"""Startup: opens a bundle and folds the ledger into the state."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from features.bundle.bundle import Bundle, read_bundle
from features.catalogue.catalogue import Catalogue, catalogue_of
from features.intake.pseudonyms import Pseudonyms
from features.intake.tokens import Tokens
from features.state.profiles import ProfileFile, Profiles
from serving.decision.evaluator import Evaluator
from serving.ledger.event_bodies import PromotionEvent, encode
from serving.ledger.hash_key import pseudonyms_of
from serving.ledger.promotions import promotions
from serving.ledger.sqlite.bloom_filter import BloomFilter
from serving.ledger.sqlite.ledger import Ledger
from serving.model import bundle_archive
from serving.state import snapshots
from serving.state.fold import Fold
from serving.state.profile_events import profile_page
from serving.state.set_aside import save_seqs, saved_events
from serving.store_config import LedgerConfig


class Opened(msgspec.Struct, frozen=True):
    """A bundle that fits this code, ready to evaluate payments."""

    bundle: Bundle
    catalogue: Catalogue
    evaluator: Evaluator


def open_bundle(folder: Path, config: LedgerConfig) -> Opened:
    """Read a bundle, compare it with this code and keep a copy for `verify`.

    Raises: BrokenBundle, ContractMismatch.
    """
    bundle = read_bundle(folder)
    opened = opened_of(bundle, config.hash_key)
    bundle_archive.keep(folder, bundle, config.bundles)
    return opened


def opened_of(bundle: Bundle, hash_key: str) -> Opened:
    """A bundle that was read, compared with this code; the key hashes the identifiers of its lists.

    Raises: ContractMismatch.
    """
    catalogue = catalogue_of(bundle.contract)
    return Opened(bundle, catalogue, Evaluator(bundle, catalogue, pseudonyms_of(hash_key)))


def fold_ledger(ledger: Ledger, catalogue: Catalogue, config: LedgerConfig) -> Fold:
    """`fold_quietly`; what cannot be folded is logged, and its numbers are saved."""
    fold = fold_quietly(ledger, catalogue, config)
    fold.set_aside.write_log()
    save_seqs(config.var, fold.set_aside)
    return fold


def fold_quietly(ledger: Ledger, catalogue: Catalogue, config: LedgerConfig) -> Fold:
    """State, profiles and segment after every event: from the latest snapshot and the tail, or the whole ledger."""
    snapshot = snapshots.newest(config.snapshots, ledger, catalogue)
    fold = Fold(catalogue, config.segments) if snapshot is None else _continued(snapshot, ledger, catalogue, config)
    for event in ledger.walk(fold.seq):
        fold.apply(event)
    return fold


def _continued(snapshot: snapshots.Snapshot, ledger: Ledger, catalogue: Catalogue, config: LedgerConfig) -> Fold:
    """The fold up to a snapshot, with what only the events before it say."""
    state, seq, rest = snapshot
    fold = Fold(catalogue, config.segments, state)
    if rest is not None:
        fold.verdict_seq, fold.profile_row = rest.verdict_seq, rest.profile_row
        fold.profiles = Profiles.decoded(rest.profiles)
        fold.ids = None if rest.ids is None else BloomFilter.decoded(rest.ids)
    # A snapshot of an earlier release has the state alone. There is one history at most.
    for kind in ("history",) if rest is not None else ("history", "profile", "label"):
        for event in ledger.of_kind(kind):
            if event.seq <= seq:
                fold.apply(event, state_included=True)
    for event in saved_events(config.var, ledger, seq, rest.set_aside if rest is not None else ()):
        fold.recheck(event)
    fold.seq = fold.snapshot_seq = seq
    return fold


def promotion_of(bundle: Bundle, code: str) -> PromotionEvent:
    """The body of the event that says that this bundle decides from now on, with the code of that version."""
    return PromotionEvent(bundle.digest, bundle.model_name, bundle.policy.digest, bundle.contract.hash, code)


def note_promotion(ledger: Ledger, opened: Opened, code: str, now_ms: int) -> None:
    """Write a `promotion` event if the last one names another bundle or other code."""
    own = promotion_of(opened.bundle, code)
    known = promotions(ledger)
    if not known or known[-1] != own:
        ledger.append_now("promotion", "", now_ms, time.time_ns() // 1_000_000, encode(own))


def append_profiles(
    file: ProfileFile, ledger: Ledger, fold: Fold, names: Pseudonyms | None = None, tokens: Tokens | None = None
) -> int:
    """Append new rows of the profile file to the ledger and fold them; returns how many.

    The file has clear instruments; with `names` the ledger gets pseudonyms, with `tokens` no card numbers. A row that
    cannot be folded is logged and skipped.
    """
    appended = 0
    while page := profile_page(file, fold.profile_row, fold.catalogue, names, tokens):
        if page.events:
            ledger.append_many([event[1:] for event in page.events])
        for step in page.steps:
            fold.apply_step(step)
        fold.profile_row = page.last_row
        appended += len(page.events)
    return appended
