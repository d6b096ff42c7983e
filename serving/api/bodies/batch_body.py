"""The body of a batch: its payments, each still as it was sent, and the time in which it is to be answered.

A payment is read when its turn comes, as a single one is: reading 1,000 of them first kept every other caller waiting.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from features.domain.payment_fields import LONGEST_DEADLINE_MS
from features.errors import Problem, Refused
from features.intake.parse import read_json
from serving.api.bodies.batch_pace import DEFAULT_BATCH_DEADLINE_MS
from serving.api.schemas import MAX_BATCH_PAYMENTS


class BatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`payments` as the bytes of one JSON value each; `deadline_ms` counts from the arrival of the request."""

    payments: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=MAX_BATCH_PAYMENTS)]
    deadline_ms: Annotated[int, Meta(ge=1, le=LONGEST_DEADLINE_MS)] = DEFAULT_BATCH_DEADLINE_MS


_decode = msgspec.json.Decoder(BatchBody).decode


def read_batch(body: bytes) -> BatchBody:
    """The batch in a request body; its payments are not looked into.

    Raises: Malformed if it is no JSON; Refused if it has not the shape of a batch or names a key twice.
    """
    try:
        batch = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused(read_json(body)) from None
    if not _has_each_key_once(batch, body):
        read_json(body)
    return batch


def _has_each_key_once(batch: BatchBody, body: bytes) -> bool:
    """Whether no key of the batch itself can stand twice: an escape could hide one, and a payment may hold the word."""
    if b"\\" in body or body.count(b'"payments"') != 1:
        return False
    if batch.deadline_ms == DEFAULT_BATCH_DEADLINE_MS:
        # It may be sent once or more with this value: then the key stands before or behind all payments.
        return b'"deadline_ms"' not in _around_payments(batch, body)
    return _around_payments(batch, body).count(b'"deadline_ms"') == 1


def _around_payments(batch: BatchBody, body: bytes) -> bytes:
    """What stands before the first payment and behind the last one; the whole body if there is none."""
    if not batch.payments:
        return body
    first, last = bytes(batch.payments[0]), bytes(batch.payments[-1])
    return body[: body.index(first)] + body[body.rindex(last) + len(last) :]


def _refused(raw: Any) -> Refused:
    if isinstance(raw, dict) and isinstance(raw.get("payments"), list) and "deadline_ms" in raw:
        limit = raw["deadline_ms"]
        if type(limit) is not int or not 1 <= limit <= LONGEST_DEADLINE_MS:
            message = f"deadline_ms of a batch is a whole number of milliseconds, 1 to {LONGEST_DEADLINE_MS}."
            return Refused([Problem("invalid_batch", message, "deadline_ms", "Send such a number, or leave it out.")])
    message = f'A batch is {{"payments": [...]}} with up to {MAX_BATCH_PAYMENTS} payments.'
    return Refused([Problem("invalid_batch", message, "payments", "Send fewer payments, in this shape.")])
