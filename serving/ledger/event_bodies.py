"""The bodies of the ledger's events other than `payment`."""

from __future__ import annotations

from typing import Any

import msgspec


class Effect(msgspec.Struct, frozen=True, array_like=True):
    """What a report changes in the state: a filter of the catalogue and +1, or -1 to undo it."""

    what: str
    weight: int


class ReportEvent(msgspec.Struct, frozen=True):
    """The body of an `outcome` or `label` event.

    It carries its payment, so folding needs no look-up. `verdict_seq` is the sequence number of the review verdict
    that a label was derived from.
    """

    transaction_id: str
    value: str
    source: str | None
    reported_at_ms: int
    effects: tuple[Effect, ...]
    payment: msgspec.Raw
    verdict_seq: int | None = None


class ProfileEvent(msgspec.Struct, frozen=True):
    """The body of a `profile` event; `row` is the profile's own JSON, `file_row` its rowid in the profile file."""

    entity: str
    entity_id: str
    row: msgspec.Raw
    file_row: int = 0


class HistoryEvent(msgspec.Struct, frozen=True):
    """The body of a `history` event: a parquet segment, stored under its digest next to the ledger.

    What became known at or after `until_ms` does not enter the state.
    """

    sha256: str
    rows: int
    first_ms: int
    last_ms: int
    until_ms: int
    source: str


class PromotionEvent(msgspec.Struct, frozen=True):
    """The body of a `promotion` event: from here on this bundle decides."""

    bundle: str
    model: str
    policy: str
    features: str
    code: str


class HashingEvent(msgspec.Struct, frozen=True):
    """The body of a `hashing` event: the fingerprint of the hash key, not the key."""

    fingerprint: str


class VerdictEvent(msgspec.Struct, frozen=True):
    """The part of a `verdict` event that the service reads; the review desk writes more."""

    verdict: str


_reports = msgspec.json.Decoder(ReportEvent)
_profiles = msgspec.json.Decoder(ProfileEvent)
_histories = msgspec.json.Decoder(HistoryEvent)
_promotions = msgspec.json.Decoder(PromotionEvent)
_hashings = msgspec.json.Decoder(HashingEvent)
_verdicts = msgspec.json.Decoder(VerdictEvent)


def decode_report(body: bytes) -> ReportEvent:
    """The body of an `outcome` or `label` event."""
    return _reports.decode(body)


def decode_profile_event(body: bytes) -> ProfileEvent:
    """The body of a `profile` event."""
    return _profiles.decode(body)


def decode_history(body: bytes) -> HistoryEvent:
    """The body of a `history` event."""
    return _histories.decode(body)


def decode_promotion(body: bytes) -> PromotionEvent:
    """The body of a `promotion` event."""
    return _promotions.decode(body)


def decode_hashing(body: bytes) -> HashingEvent:
    """The body of a `hashing` event."""
    return _hashings.decode(body)


def decode_verdict(body: bytes) -> VerdictEvent:
    """The body of a `verdict` event."""
    return _verdicts.decode(body)


def encode(body: Any) -> bytes:
    """Any event body of this module as JSON."""
    return msgspec.json.encode(body)
