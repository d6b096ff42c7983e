"""The answer of an engine, and the refusals that every engine shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from features.domain.payment import Payment
from features.errors import Problem, Refused
from serving.decision.clock import WINDOW_MS
from serving.decision.receipt import decode_answer
from serving.errors import Conflict
from serving.ledger.sqlite.commit_ticket import CommitTicket


class Scored(msgspec.Struct, frozen=True):
    """An answer; with a `ticket` it may be sent only when the ticket is done, without one immediately.

    `timings_us` are those of its receipt, microseconds; None where nothing was decided now, such as for a retry. `test`
    is an answer of the sandbox, which counts in no metric of decisions.
    """

    answer: bytes
    replayed: bool
    ticket: CommitTicket | None
    decision: str
    tier: str
    timings_us: dict[str, int] | None = None
    test: bool = False


#: Gets the answer of a payment, or the error in its place.
OnScored = Callable[[Scored | Exception], None]


def outside_window(payment: Payment, now_ms: int) -> Refused:
    """The refusal of a payment whose event time is outside the clock's window; `now_ms` is what the clock says."""
    minutes = WINDOW_MS // 60_000
    if payment.event_time_ms > now_ms:
        message = "event_time is more than five minutes ahead of the service's clock."
        repair = "Send the time at which the payment happened, with its offset from UTC, and set the caller's clock."
    elif payment.late:
        message = "event_time of a late payment is more than seven days behind the service's clock."
        repair = "Import older payments as a history (python -m serving import-history)."
    else:
        message = "event_time is more than five minutes behind the service's clock."
        repair = f"Send a payment when it happens (within {minutes} minutes), or with `late`: true up to "
        repair += "seven days later, or run the service with the replay clock."
    return Refused([Problem("time_outside_window", message, "event_time", repair)])


def in_imported_history(transaction_id: str) -> Conflict:
    """The refusal of a payment that is part of the imported history."""
    return Conflict(
        f"Transaction `{transaction_id}` is part of the imported history.",
        "Send a new transaction_id.",
        "transaction_id",
    )


def different_content(transaction_id: str, answer: bytes | None, fields: Sequence[str] = ()) -> Conflict:
    """The refusal of a known id with another identity; it repeats what was decided, once that is known.

    `fields` are those of its identity that differ, if both payments are at hand.
    """
    what = " and ".join(fields) or "amount, currency, payer, instrument or payee"
    known = None if answer is None else decode_answer(answer)
    return Conflict(
        f"Transaction `{transaction_id}` was scored with another {what}.",
        "Send a new transaction_id for another payment; a retry repeats these fields.",
        "transaction_id",
        decision=None if known is None else known.decision,
        receipt_id=None if known is None else known.receipt_id,
    )


def taken_undecided(transaction_id: str) -> Conflict:
    """The refusal of a payment that a label brought along: it is history, and its label is known before its score."""
    return Conflict(
        f"Transaction `{transaction_id}` was taken into the history undecided, together with a label.",
        "Score a payment before it is labelled, or send the label without `payment`: it then waits.",
        "transaction_id",
    )
