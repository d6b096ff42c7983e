"""The body of a batch: its payments, each still as it was sent, and the time in which it is to be answered.

A payment is read when its turn comes, as a single one is: reading 1,000 of them first kept every other caller waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from features.domain.payment_fields import LONGEST_DEADLINE_MS
from features.errors import Problem, Refused
from features.intake.findings import MOST_PROBLEMS, Findings, kind_of
from features.intake.parse import read_json
from serving.api.bodies.batch_pace import DEFAULT_BATCH_DEADLINE_MS
from serving.api.schemas import MAX_BATCH_PAYMENTS

_SHAPE = f'A batch is {{"payments": [...]}} with up to {MAX_BATCH_PAYMENTS:,} payments.'


class BatchBody(msgspec.Struct, frozen=True):
    """`payments` as the bytes of one JSON value each; `deadline_ms` counts from the arrival of the request."""

    payments: tuple[msgspec.Raw, ...]
    deadline_ms: int


class _Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payments: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=MAX_BATCH_PAYMENTS)]
    deadline_ms: Annotated[int, Meta(ge=1, le=LONGEST_DEADLINE_MS)] | msgspec.UnsetType | None = msgspec.UNSET


_decode = msgspec.json.Decoder(_Sent).decode


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
    deadline_ms = batch.deadline_ms
    return BatchBody(batch.payments, deadline_ms if isinstance(deadline_ms, int) else DEFAULT_BATCH_DEADLINE_MS)


def _has_each_key_once(batch: _Sent, body: bytes) -> bool:
    """Whether no key of the batch itself can stand twice: an escape could hide one, and a payment may hold the word."""
    if b"\\" in body or body.count(b'"payments"') != 1:
        return False
    return batch.deadline_ms is msgspec.UNSET or _around_payments(batch, body).count(b'"deadline_ms"') == 1


def _around_payments(batch: _Sent, body: bytes) -> bytes:
    """What stands before the first payment and behind the last one; the whole body if there is none."""
    if not batch.payments:
        return body
    first, last = bytes(batch.payments[0]), bytes(batch.payments[-1])
    return body[: body.index(first)] + body[body.rindex(last) + len(last) :]


def _refused(raw: Any) -> Refused:
    return Refused(list(_problems(raw)) or [_invalid(_SHAPE, "payments", "Send a batch in this shape.")])


def _problems(raw: Any) -> Iterator[Problem]:
    """Each thing that is wrong with a batch as a whole."""
    if not isinstance(raw, dict):
        yield _invalid(f"{_SHAPE[:-1]}, not {kind_of(raw)}.", "payments", "Send a batch in this shape.")
        return
    known = [name for name in raw if name in _Sent.__struct_fields__]
    unknown = [name for name in raw if name not in known]
    for name in unknown[:MOST_PROBLEMS]:
        shown = Findings(None).name_of(name)  # a name may hold a card number, or be long
        yield _invalid(
            f"`{shown}` is no field of a batch.", shown, f"Send {' and '.join(_Sent.__struct_fields__)} only."
        )
    payments, limit = raw.get("payments"), raw.get("deadline_ms")
    if not isinstance(payments, list):
        what = "is required" if payments is None else f"must be an array, not {kind_of(payments)}"
        yield _invalid(f"{what}. {_SHAPE}", "payments", "Send a batch in this shape.")
    elif len(payments) > MAX_BATCH_PAYMENTS:
        message = f"A batch of {len(payments):,} payments was sent; there may be {MAX_BATCH_PAYMENTS:,}."
        yield _invalid(message, "payments", "Send fewer payments in each of several batches.")
    if limit is not None and (type(limit) is not int or not 1 <= limit <= LONGEST_DEADLINE_MS):
        message = f"deadline_ms of a batch is a whole number of milliseconds, 1 to {LONGEST_DEADLINE_MS}."
        yield _invalid(message, "deadline_ms", "Send such a number, or leave it out.")


def _invalid(message: str, field: str, repair: str) -> Problem:
    return Problem("invalid_batch", message, field, repair)
