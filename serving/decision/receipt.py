"""Receipts: everything needed to reproduce one decision, and the ledger body that holds one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from ulid_transform import ulid_at_time

from features.bundle.policy import DECISIONS
from features.domain.payment import FieldWarning
from serving.decision.evaluator import TIERS
from serving.decision.reasons import MOST_REASONS, Reason
from serving.decision.vector_codec import vector_from
from serving.errors import BrokenReceipt


def one_of(words: tuple[str, ...]) -> Meta:
    """For the OpenAPI document: one of these words. It is not checked when a value is decoded."""
    return Meta(extra_json_schema={"enum": list(words)})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of `POST /v1/score`, in the order of the contract."""

    transaction_id: str
    decision: Annotated[str, one_of(DECISIONS)]
    score: Annotated[float | None, Meta(description="Calibrated probability of fraud; null without a model.")]
    reasons: Annotated[tuple[Reason, ...], Meta(extra_json_schema={"maxItems": MOST_REASONS})]
    rules: tuple[str, ...]
    tier: Annotated[str, one_of(TIERS)]
    missing: Annotated[
        tuple[str, ...],
        Meta(
            description="What the decision had to do without: features, profiles, state, model, contributions, ledger; "
            "`breaker:model` or `breaker:` and a rule where an open breaker softened a decline."
        ),
    ]
    warnings: Annotated[
        tuple[FieldWarning, ...], Meta(description="What was dropped from the payment, or used in another form.")
    ] = ()
    model: str
    policy: str
    features: str
    receipt_id: Annotated[str | None, Meta(description="Null when nothing was recorded (dry run).")]


class Receipt(msgspec.Struct, frozen=True):
    """The inputs of one decision.

    `vector` is the feature vector as served (NaN = missing; serving/decision/vector_codec.py, base64 in JSON), None
    when no features could be read. `seen` is the number of events that the state of payer, instrument, device, ip,
    payee and pair had folded, -1 = not sent. `folded` says whether the payment entered the online state, `explained`
    whether contributions were computed. Digests are SHA-256 in hex, timings microseconds. `spent_minor` is the amount
    approved without a score earlier in the minute of arrival (reference minor units; 0 for a decision with a score).
    `breakers` names the open breakers; those that softened this decision are in `missing` too, except in receipts of
    older releases, which softened every decline to a challenge. `profile_row` is how far the worker had read the
    profile file, -1 = up to the events before the payment. `warnings` are those of the answer. `trace_id` is that of
    the caller's `traceparent` (W3C Trace Context); it decides nothing. `lists_seq` is the last `list` event that the
    worker had applied, -1 = the bundle's own lists decided (older releases); `network` the listed network (CIDR) that
    held the address, which cannot be recomputed from a pseudonym.
    """

    receipt_id: str
    tier: str
    missing: tuple[str, ...]
    vector: bytes | None
    seen: tuple[int, ...]
    margin: float | None
    score: float | None
    explained: bool
    explain_approved: bool
    folded: bool
    bundle: str
    policy: str
    features: str
    code: str
    event_time_ms: int
    arrival_time_ms: int
    timings_us: dict[str, int]
    spent_minor: int = 0
    breakers: tuple[str, ...] = ()
    profile_row: int = -1
    warnings: tuple[FieldWarning, ...] = ()
    trace_id: str | msgspec.UnsetType = msgspec.UNSET
    lists_seq: int = -1
    network: str = ""


class Body(msgspec.Struct, frozen=True):
    """The body of a `payment` event; `payment` and `answer` are the bytes as read and as sent."""

    payment: msgspec.Raw
    receipt: Receipt
    answer: msgspec.Raw


class _Admitted(msgspec.Struct):
    payment: msgspec.Raw


#: The end of the body of a payment that was admitted and never decided (production: its process died).
UNDECIDED = b',"receipt":null,"answer":null}'

_encoder = msgspec.json.Encoder()
_admitted_decoder = msgspec.json.Decoder(_Admitted)
#: The answer that was sent, and the ledger body of a scored payment (payment and answer still as bytes), decoded.
decode_answer = msgspec.json.Decoder(Answer).decode
decode_body = msgspec.json.Decoder(Body).decode


def new_receipt_id(arrival_ms: int) -> str:
    """A ULID of 26 characters, sortable by the time of arrival (milliseconds UTC); unique, but not a secret.

    >>> new_receipt_id(0)[:10], new_receipt_id(1)[:10], len(new_receipt_id(0))
    ('0000000000', '0000000001', 26)
    """
    return ulid_at_time((arrival_ms + 0.5) / 1000)  # it truncates: the half keeps the millisecond from rounding down


def encode_answer(answer: Answer) -> bytes:
    """The answer as the bytes that are sent and recorded."""
    return _encoder.encode(answer)


def encode_body(payment: bytes, receipt: Receipt, answer: bytes) -> bytes:
    """The ledger body of a scored payment."""
    return _encoder.encode(Body(msgspec.Raw(payment), receipt, msgspec.Raw(answer)))


def decode_record(seq: int, body: bytes) -> Body:
    """The ledger body of a payment, for display.

    Raises: BrokenReceipt.
    """
    try:
        return decode_body(body)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise BrokenReceipt(
            f"Event {seq} of the ledger cannot be read: its bytes were changed.",
            "Find out who wrote to the ledger (python -m serving verify names every such event), and restore it.",
        ) from error


def decided(body: bytes) -> Body | None:
    """The ledger body of a payment, or None for one that was never decided."""
    return None if body.endswith(UNDECIDED) else decode_body(body)


def payment_in(body: bytes) -> msgspec.Raw:
    """The payment in a ledger body, decided or not."""
    return _admitted_decoder.decode(body).payment


def vector_of(receipt: Receipt) -> npt.NDArray[np.float64] | None:
    """The feature vector as served, float64[columns], or None.

    Raises: BrokenReceipt.
    """
    if receipt.vector is None:
        return None
    try:
        return vector_from(receipt.vector)
    except ValueError as error:
        raise BrokenReceipt(
            f"The vector of receipt {receipt.receipt_id} cannot be read: its bytes were changed.",
            "Find out who wrote to the ledger (python -m serving verify names every such event), and restore it.",
        ) from error


def readable(body: Body, names: tuple[str, ...]) -> dict[str, Any]:
    """The receipt as `GET /v1/receipts/{transaction_id}` returns it.

    The vector is given as float64, little endian (base64), and by name with NaN as null.
    """
    receipt, vector, values = body.receipt, vector_of(body.receipt), None
    if vector is not None:
        receipt = msgspec.structs.replace(receipt, vector=vector.astype("<f8", copy=False).tobytes())
    if vector is not None and len(vector) == len(names):
        values = {name: None if np.isnan(value) else float(value) for name, value in zip(names, vector, strict=True)}
    return {"payment": body.payment, "answer": body.answer, "receipt": receipt, "values": values}


def code_version() -> str:
    """A digest of the source that decides (`features` and `serving`), hex: equal sources, equal digest."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in ("features", "serving"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
