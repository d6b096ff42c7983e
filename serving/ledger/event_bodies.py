"""The bodies of the ledger's events other than `payment`."""

from __future__ import annotations

from typing import Any

import msgspec

from features.domain.payment import FieldWarning


class Effect(msgspec.Struct, frozen=True, array_like=True):
    """What a report changes in the state: a filter of the catalogue and +1, or -1 to undo it."""

    what: str
    weight: int


class LabelInForce(msgspec.Struct, frozen=True, array_like=True):
    """The label in force after a report, with its source and the time of its report (ms UTC); None: no label is."""

    label: str | None
    source: str | None
    reported_at_ms: int


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why a report that waited was refused when its payment became known."""

    code: str
    message: str


class ReportEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an `outcome` or `label` event.

    It carries its payment and its effects, so folding needs no look-up and no rule. `verdict_seq` is the sequence
    number of the review verdict that a label was derived from. `amount_minor` and `reason_code` are of an outcome;
    `in_force` is of a label (None in events of releases before, of which the later reported label is in force).
    `brought` says that the label brought its payment along, which is therefore never decided; `warnings` are those of
    that payment.
    """

    transaction_id: str
    value: str
    source: str | None
    reported_at_ms: int
    effects: tuple[Effect, ...]
    payment: msgspec.Raw
    verdict_seq: int | None = None
    amount_minor: int | None = None
    reason_code: str | None = None
    in_force: LabelInForce | None = None
    brought: bool = False
    warnings: tuple[FieldWarning, ...] = ()


class WaitingEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a `waiting` event: an outcome or label (`kind`) of a payment that is not known here.

    It changes nothing. When its payment becomes known, an event of its kind follows that says the same and has the
    effects; or a second `waiting` event that says the same, with `refused`: then it waits no longer and has none.
    """

    kind: str
    value: str
    source: str | None
    reported_at_ms: int
    amount_minor: int | None = None
    reason_code: str | None = None
    refused: Refusal | None = None


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


#: The bodies of events, decoded: an `outcome` or `label` first. Each raises msgspec.DecodeError.
decode_report = msgspec.json.Decoder(ReportEvent).decode
decode_waiting = msgspec.json.Decoder(WaitingEvent).decode
decode_profile_event = msgspec.json.Decoder(ProfileEvent).decode
decode_history = msgspec.json.Decoder(HistoryEvent).decode
decode_promotion = msgspec.json.Decoder(PromotionEvent).decode
decode_hashing = msgspec.json.Decoder(HashingEvent).decode
decode_verdict = msgspec.json.Decoder(VerdictEvent).decode


def encode(body: Any) -> bytes:
    """Any event body of this module as JSON."""
    return msgspec.json.encode(body)
