"""Reads payments that are still in the stream because the recorder has not written them to PostgreSQL yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serving.ledger.sqlite.ledger import Event
from serving.redis_store.messages import checked
from serving.redis_store.state import RedisState, default_deadline
from serving.redis_store.stream_entry import seq_of


async def unrecorded_content(state: RedisState, transaction_id: str) -> bytes | None:
    """The content of a payment as it was admitted; None if Redis no longer holds it."""
    record = await state.record(transaction_id, default_deadline())
    fields = None if record is None else await _fields(state, record.payment_id)
    return None if fields is None else fields[b"b"]


async def unrecorded_payment(
    state: RedisState, transaction_id: str, admitted_in: Callable[[str], bytes | None]
) -> Event | None:
    """The payment of that transaction with receipt and answer, as PostgreSQL will hold it.

    The recorder may have recorded the payment and not yet its decision: then `admitted_in` reads the content from
    PostgreSQL.
    """
    record = await state.record(transaction_id, default_deadline())
    if record is None or not record.answered or not record.decision_id:
        return None
    admitted, decided = await _fields(state, record.payment_id), await _fields(state, record.decision_id)
    if decided is None:
        return None
    content = admitted[b"b"] if admitted is not None else await asyncio.to_thread(admitted_in, transaction_id)
    if content is None:
        return None
    # The body of a decision begins with receipt and answer, which follow the payment in the body of a ledger event.
    body = b'{"payment":' + content + b"," + decided[b"b"][1:]
    return Event(seq_of(record.payment_id), "payment", transaction_id, int(decided[b"e"]), int(decided[b"a"]), body)


async def _fields(state: RedisState, stream_id: bytes) -> dict[bytes, bytes] | None:
    """The fields of an event in the stream; None if it was trimmed."""
    call = state.connection.call(("XRANGE", state.keys.events, stream_id, stream_id), default_deadline())
    found = checked(await call)
    return dict(zip(found[0][1][::2], found[0][1][1::2], strict=True)) if found else None
