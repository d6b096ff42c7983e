"""A payment on its way through a worker, and the answers that need no decision: replays and look-ups in the ledger."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from features.domain.payment import Payment
from features.state.remote import Entry
from serving.decision import receipt as receipts
from serving.decision.decider import Decided, FeatureReading
from serving.decision.evaluator import DEFAULT
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.engine.retry_identity import content_digest, differs, warned
from serving.engine.scored import Scored, outside_window
from serving.errors import LedgerUnavailable
from serving.redis_store.idempotency_record import IdempotencyRecord


class Claim(msgspec.Struct, frozen=True):
    """A payment on its way: its content and digest, the entry to append for it, and the best tier it may have."""

    payment: Payment
    content: bytes
    digest: bytes
    entry: Entry
    best_tier: str


def empty_reading(missing: tuple[str, ...], seen: tuple[int, ...] = ()) -> FeatureReading:
    """The reading of a payment whose features cannot be computed or are not needed."""
    return FeatureReading(None, DEFAULT, missing, True, seen)


def scored_from(decided: Decided) -> Scored:
    """The answer of a decision that Redis has taken."""
    word, timings_us = decided.evaluation.decision.word, decided.receipt.timings_us
    return Scored(decided.answer, False, None, word, decided.tier, timings_us)


def replay_of(claim: Claim, known: IdempotencyRecord) -> Scored:
    """The recorded answer of a known payment.

    Raises: Conflict.
    """
    return _replayed(claim, known.digest, known.answer)


def _replayed(claim: Claim, digest: bytes, sent: bytes) -> Scored:
    sent = warned(sent) if differs_from(claim, digest, sent) else sent
    answer = receipts.decode_answer(sent)
    return Scored(sent, True, None, answer.decision, answer.tier)


def without_receipt(decided: Decided, replayed: bool, differs: bool = False) -> Scored:
    """The answer of a decision that is not recorded yet: it names no receipt, for none could be fetched."""
    sent = warned(decided.answer) if differs else decided.answer
    answer = msgspec.structs.replace(receipts.decode_answer(sent), receipt_id=None)
    return Scored(receipts.encode_answer(answer), replayed, None, decided.evaluation.decision.word, decided.tier)


def differs_from(claim: Claim, digest: bytes, answer: bytes | None = None) -> bool:
    """Whether a retry differs outside its identity from the payment with this digest, which got this answer.

    Raises: Conflict for another identity.
    """
    return differs(claim.payment.transaction_id, claim.content, claim.digest, digest, answer)


async def answer_from_ledger(claim: Claim, lookup: LedgerLookup) -> Scored:
    """The answer of a payment that the ledger holds, for a retry whose event time has left the clock's window.

    Raises: Conflict; Refused for a payment that is in no ledger.
    """
    event = None
    with contextlib.suppress(LedgerUnavailable):
        event = await asyncio.to_thread(lookup.payment, claim.payment.transaction_id)
    if event is None:
        raise outside_window(claim.payment)
    body = receipts.decode_body(event.body)
    return _replayed(claim, content_digest(bytes(body.payment)), bytes(body.answer))
