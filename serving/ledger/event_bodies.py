"""The bodies of the ledger's events beside `payment`, as they are written and read back."""

from __future__ import annotations

from typing import Any

import msgspec


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


class Hashing(msgspec.Struct, frozen=True):
    """The body of a `hashing` event: which key, not the key."""

    fingerprint: str


class VerdictEvent(msgspec.Struct, frozen=True):
    """What the service reads of a `verdict` event; the desk writes more."""

    verdict: str


_reports = msgspec.json.Decoder(Report)
_profiles = msgspec.json.Decoder(ProfileEvent)
_histories = msgspec.json.Decoder(HistoryEvent)
_promotions = msgspec.json.Decoder(Promotion)
_hashings = msgspec.json.Decoder(Hashing)
_verdicts = msgspec.json.Decoder(VerdictEvent)


def decode_report(body: bytes) -> Report:
    """The body of an `outcome` or `label` event."""
    return _reports.decode(body)


def decode_profile_event(body: bytes) -> ProfileEvent:
    """The body of a `profile` event."""
    return _profiles.decode(body)


def decode_history(body: bytes) -> HistoryEvent:
    """The body of a `history` event."""
    return _histories.decode(body)


def decode_promotion(body: bytes) -> Promotion:
    """The body of a `promotion` event."""
    return _promotions.decode(body)


def decode_hashing(body: bytes) -> Hashing:
    """The body of a `hashing` event."""
    return _hashings.decode(body)


def decode_verdict(body: bytes) -> VerdictEvent:
    """The body of a `verdict` event."""
    return _verdicts.decode(body)


def encode(body: Any) -> bytes:
    """The JSON of any event body of this module."""
    return msgspec.json.encode(body)
