"""A payment on its way through a worker, and what is asked and said of it beside Redis."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

import msgspec

from features.domain.payment import Payment
from features.state.remote import Entry
from serving.decision import receipt as receipts
from serving.decision.decider import Decided, Reading
from serving.decision.evaluator import DEFAULT
from serving.engine.embedded.engine import Scored, outside_window
from serving.errors import Conflict, LedgerUnavailable
from serving.ledger.sqlite.ledger import Event
from serving.redis_store.idempotency_record import Record, digest_of


class Past(Protocol):
    """What is known from before Redis."""

    def imported(self, transaction_id: str) -> bool:
        """Whether the imported history holds that payment."""
        ...

    def payment(self, transaction_id: str) -> Event | None:
        """The decided payment of that id; may take a while."""
        ...

    def content(self, transaction_id: str) -> bytes | None:
        """The payment of that id as it was admitted, decided or not; may take a while."""
        ...


class Claim(msgspec.Struct, frozen=True):
    """A payment on its way: what identifies it, what is appended for it, and the best tier it may have."""

    payment: Payment
    content: bytes
    digest: bytes
    entry: Entry
    most: str


def nothing(missing: tuple[str, ...], seen: tuple[int, ...] = ()) -> Reading:
    """What is read of a payment whose features cannot be, or need not be, known."""
    return Reading(None, DEFAULT, missing, True, seen)


def same(claim: Claim, known: Record) -> Scored:
    """The answer that was given before.

    Raises: Conflict.
    """
    check_content(claim, known.digest)
    answer = receipts.decode_answer(known.answer)
    return Scored(known.answer, True, None, answer.decision, answer.tier)


def unreceipted(decided: Decided, replayed: bool) -> Scored:
    """The answer of a decision that is not recorded yet: without the id of a receipt that nobody could show."""
    answer = msgspec.structs.replace(receipts.decode_answer(decided.answer), receipt_id=None)
    return Scored(receipts.encode_answer(answer), replayed, None, decided.judgement.decision.word, decided.tier)


def check_content(claim: Claim, digest: bytes) -> None:
    """Refuse a known id with other content.

    Raises: Conflict.
    """
    if digest != claim.digest:
        raise Conflict(
            f"Transaction `{claim.payment.transaction_id}` was scored with other content.",
            "Send the same content again for the same answer, or a new transaction_id.",
            "transaction_id",
        )


async def recorded_before(claim: Claim, past: Past) -> Scored:
    """The answer of a payment that the ledger holds, for a retry that comes when its time is over.

    Raises: Conflict; Refused for a payment that nobody knows.
    """
    event = None
    with contextlib.suppress(LedgerUnavailable):
        event = await asyncio.to_thread(past.payment, claim.payment.transaction_id)
    if event is None:
        raise outside_window()
    body = receipts.decode_body(event.body)
    check_content(claim, digest_of(bytes(body.payment)))
    answer = receipts.decode_answer(body.answer)
    return Scored(bytes(body.answer), True, None, answer.decision, answer.tier)
