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
from serving.engine.retry_identity import content_digest, differs, fields_that_differ, warned
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


def replay_of(claim: Claim, known: IdempotencyRecord, content: bytes | None = None) -> Scored:
    """The recorded answer of a known payment, which is `content` if that is at hand.

    Raises: Conflict.
    """
    return replayed(claim, known.digest, known.answer, content)


def replayed(claim: Claim, digest: bytes, sent: bytes, content: bytes | None) -> Scored:
    """The answer that was sent for the payment with this digest; `content` is that payment if it is at hand.

    Raises: Conflict.
    """
    if differs(claim.payment.transaction_id, claim.content, claim.digest, digest, sent, content):
        sent = warned(sent, fields_that_differ(claim.content, content))
    answer = receipts.decode_answer(sent)
    return Scored(sent, True, None, answer.decision, answer.tier)


def without_receipt(decided: Decided, sent: bytes | None = None) -> Scored:
    """The answer of a decision that is not recorded yet, or what is `sent` for it to a retry: it names no receipt.

    None could be fetched.
    """
    answer = msgspec.structs.replace(receipts.decode_answer(sent or decided.answer), receipt_id=None)
    word = decided.evaluation.decision.word
    return Scored(receipts.encode_answer(answer), sent is not None, None, word, decided.tier)


def differs_from(claim: Claim, digest: bytes, answer: bytes | None = None) -> bool:
    """Whether a retry differs outside its identity from the payment with this digest, which got this answer.

    Raises: Conflict for another identity.
    """
    return differs(claim.payment.transaction_id, claim.content, claim.digest, digest, answer)


async def answer_from_ledger(claim: Claim, lookup: LedgerLookup, now_ms: int) -> Scored:
    """The answer of a payment that the ledger holds, for a retry whose event time has left the clock's window.

    Raises: Conflict; Refused for a payment that is in no ledger.
    """
    event = None
    with contextlib.suppress(LedgerUnavailable):
        event = await asyncio.to_thread(lookup.payment, claim.payment.transaction_id)
    if event is None:
        raise outside_window(claim.payment, now_ms)
    body = receipts.decode_body(event.body)
    content = bytes(body.payment)
    return replayed(claim, content_digest(content), bytes(body.answer), content)
