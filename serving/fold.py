"""Online state as a fold of the ledger: the same steps at start, after a crash and in `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from features.catalog import Catalog
from features.intake import stored_payment
from features.payment import Payment
from features.profiles import Profiles, decode_profile
from features.state import State
from serving import receipt as receipts
from serving.ledger import Event
from serving.segments import Segment


class Effect(msgspec.Struct, frozen=True, array_like=True):
    """What a report changes in the state: a filter of the catalogue and +1, or -1 to take it back."""

    what: str
    weight: int


class Report(msgspec.Struct, frozen=True):
    """The body of an `outcome` or `label` event.

    It carries the payment it speaks about, so folding needs no look-up. `verdict_seq` is the sequence
    number of the review verdict a label was derived from.
    """

    transaction_id: str
    value: str
    source: str | None
    reported_at_ms: int
    effects: tuple[Effect, ...]
    payment: msgspec.Raw
    verdict_seq: int | None = None


class ProfileEvent(msgspec.Struct, frozen=True):
    """The body of a `profile` event; `row` is the profile's own JSON, `file_row` its place in the profile file."""

    entity: str
    entity_id: str
    row: msgspec.Raw
    file_row: int = 0


class HistoryEvent(msgspec.Struct, frozen=True):
    """The body of a `history` event: a parquet segment kept beside the ledger under its digest.

    What became known at or after `until_ms` does not enter the state.
    """

    sha256: str
    rows: int
    first_ms: int
    last_ms: int
    until_ms: int
    source: str


class Promotion(msgspec.Struct, frozen=True):
    """The body of a `promotion` event: from here on this bundle decides."""

    bundle: str
    model: str
    policy: str
    features: str
    code: str


_reports = msgspec.json.Decoder(Report)
_profiles = msgspec.json.Decoder(ProfileEvent)
_histories = msgspec.json.Decoder(HistoryEvent)
_promotions = msgspec.json.Decoder(Promotion)


def decode_report(body: bytes) -> Report:
    """The body of an `outcome` or `label` event."""
    return _reports.decode(body)


def decode_history(body: bytes) -> HistoryEvent:
    """The body of a `history` event."""
    return _histories.decode(body)


def decode_promotion(body: bytes) -> Promotion:
    """The body of a `promotion` event."""
    return _promotions.decode(body)


def encode(body: Any) -> bytes:
    """The JSON of any event body of this module."""
    return msgspec.json.encode(body)


class Fold:
    """State, profiles and history segment after the events up to `seq`."""

    def __init__(self, catalog: Catalog, folder: Path, state: State | None = None) -> None:
        self.catalog = catalog
        self.folder = folder
        self.state = State(catalog) if state is None else state
        self.profiles = Profiles()
        self.segment: Segment | None = None
        self.seq = 0
        #: The latest verdict that has become a label, and the latest row of the profile file taken over.
        self.verdict_seq = 0
        self.profile_row = 0

    def apply(self, event: Event, *, state_included: bool = False) -> None:
        """Fold one event in; `state_included` when a snapshot of the state already holds it."""
        if event.kind == "profile":
            self._profile(event)
        elif event.kind == "history":
            self._history(event, state_included)
        elif event.kind in ("label", "outcome"):
            report = _reports.decode(event.body)
            if report.verdict_seq is not None:
                self.verdict_seq = max(self.verdict_seq, report.verdict_seq)
            if not state_included:
                self.annotate(stored_payment(report.payment), report.effects)
        elif event.kind == "payment" and not state_included:
            body = receipts.decided(event.body)
            # Never decided, yet admitted: that is when a payment enters the state.
            if body is None or body.receipt.folded:
                self.state.apply(stored_payment(receipts.payment_in(event.body) if body is None else body.payment))
        self.seq = event.seq

    def annotate(self, payment: Payment, effects: tuple[Effect, ...]) -> None:
        """Let what became known about an earlier payment enter the state."""
        for effect in effects:
            self.state.annotate(payment, effect.what, effect.weight)

    def _profile(self, event: Event) -> None:
        body = _profiles.decode(event.body)
        self.profiles.put(body.entity, body.entity_id, decode_profile(bytes(body.row)), body.file_row)
        self.profile_row = max(self.profile_row, body.file_row)

    def _history(self, event: Event, state_included: bool) -> None:
        body = _histories.decode(event.body)
        self.segment = Segment(self.folder, body.sha256, body.until_ms)
        if not state_included:
            self.state = self.segment.fold(self.catalog)
