"""The answer of an engine, and the refusals that every engine shares."""

from __future__ import annotations

from collections.abc import Callable

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


def outside_window(payment: Payment) -> Refused:
    """The refusal of a payment whose event time is outside the clock's window."""
    if payment.late:
        message = "event_time of a late payment lies further back than seven days, or ahead of the service's clock."
        repair = "Import older payments as a history (python -m serving import-history)."
    else:
        message = "event_time is further than five minutes from the service's clock."
        repair = f"Send a payment when it happens (within {WINDOW_MS // 60_000} minutes), or with `late`: true up to "
        repair += "seven days later, or run the service with the replay clock."
    return Refused([Problem("time_outside_window", message, "event_time", repair)])


def in_imported_history(transaction_id: str) -> Conflict:
    """The refusal of a payment that is part of the imported history."""
    return Conflict(
        f"Transaction `{transaction_id}` is part of the imported history.",
        "Send a new transaction_id.",
        "transaction_id",
    )


def different_content(transaction_id: str, answer: bytes | None) -> Conflict:
    """The refusal of a known id with another identity; it repeats what was decided, once that is known."""
    known = None if answer is None else decode_answer(answer)
    return Conflict(
        f"Transaction `{transaction_id}` was scored with another amount, currency, payer, instrument or payee.",
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
