"""What must hold after every fault, from the files alone: nothing lost, nothing twice, the state is the fold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.catalogue.catalogue import Catalogue, catalogue_of
from features.state.memory import State
from features.state.remote import EntityStrings
from serving.audit.verify import verify_ledger
from serving.decision.receipt import decode_body
from serving.ledger.event_bodies import decode_promotion
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.ledger import Ledger
from serving.model import bundle_archive
from serving.settings import Settings
from serving.state.fold import Fold


@dataclass(frozen=True)
class Proof:
    """What a ledger and a snapshot show."""

    acknowledged: int
    lost: int
    doubled: int
    state_mismatches: int
    verify_mismatches: int
    recorded: int
    differences: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.state_mismatches or self.verify_mismatches)


def prove(var: Path, answers: Mapping[str, Mapping[str, Any]]) -> Proof:
    """Compare what callers were answered with a receipt, the ledger, and the snapshot of the live state."""
    settings = Settings(var=var)
    ledger = Ledger(settings.ledger.sqlite, read_only=True)
    try:
        recorded, doubled = recorded_answers(ledger)
        lost, acknowledged = unlike(recorded, answers)
        apart = state_mismatches(settings, ledger)
    finally:
        ledger.release()
    verified = verify_ledger(settings.ledger)
    told = tuple(verified.differences)
    return Proof(acknowledged, lost, doubled, apart, verified.mismatches, len(recorded), told)


def recorded_answers(ledger: LedgerReader) -> tuple[dict[str, bytes], int]:
    """The answer recorded of each payment (null for one that nobody decided), and how many stand there twice."""
    recorded: dict[str, bytes] = {}
    doubled = 0
    for event in ledger.walk():
        if event.kind == "payment":
            doubled += event.transaction_id in recorded
            recorded[event.transaction_id] = bytes(decode_body(event.body).answer)
    return recorded, doubled


def unlike(recorded: Mapping[str, bytes], answers: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
    """How many answers with a receipt are not recorded as they were heard, and how many there are."""
    acknowledged = {name: answer for name, answer in answers.items() if answer["receipt_id"] is not None}
    lost = [name for name, answer in acknowledged.items() if json.loads(recorded.get(name, b"null")) != answer]
    return len(lost), len(acknowledged)


def state_mismatches(settings: Settings, ledger: Ledger) -> int:
    """Entities whose packed record in the latest snapshot differs from the one folded from the whole ledger."""
    catalogue = _catalogue(settings, ledger)
    newest = max((settings.var / "snapshots").glob("state-*.state"))
    assert int(newest.stem.removeprefix("state-")) == ledger.last_seq(), "the live state was not written at the stop"
    live = State.load(newest, catalogue)
    fold = Fold(catalogue, settings.var / "segments")
    for event in ledger.walk():
        fold.apply(event)
    return apart(packed(live, catalogue), packed(fold.state, catalogue)) + (live.too_late != fold.state.too_late)


def packed(state: State, catalogue: Catalogue) -> dict[tuple[int, str], bytes]:
    """Every entity's canonical bytes."""
    return {(kind, key): record for kind, key, record in EntityStrings(catalogue).pack_state(state)}


def apart(one: Mapping[Any, bytes], other: Mapping[Any, bytes]) -> int:
    """How many keys have different bytes, or are on one side only."""
    return sum(one.get(key) != other.get(key) for key in one.keys() | other.keys())


def _catalogue(settings: Settings, ledger: Ledger) -> Catalogue:
    last = decode_promotion(ledger.of_kind("promotion")[-1].body)
    return catalogue_of(bundle_archive.kept_bundle(settings.var / "bundles", last.bundle, last.policy).contract)
