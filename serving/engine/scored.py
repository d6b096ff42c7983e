"""The answer of an engine, and the refusals that every engine shares."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from features.errors import Problem, Refused
from serving.decision.clock import WINDOW_MS
from serving.errors import Conflict
from serving.ledger.sqlite.commit_ticket import CommitTicket


class Scored(msgspec.Struct, frozen=True):
    """An answer; with a `ticket` it may be sent only when the ticket is done, without one immediately."""

    answer: bytes
    replayed: bool
    ticket: CommitTicket | None
    decision: str
    tier: str


#: Gets the answer of a payment, or the error in its place.
OnScored = Callable[[Scored | Exception], None]


def outside_window() -> Refused:
    """The refusal of a payment whose event time is outside the clock's window."""
    return Refused(
        [
            Problem(
                code="time_outside_window",
                message="event_time is further than five minutes from the service's clock.",
                field="event_time",
                repair=f"Send a payment when it happens (within {WINDOW_MS // 60_000} minutes), or "
                "run the service with the replay clock.",
            )
        ]
    )


def in_imported_history(transaction_id: str) -> Conflict:
    """The refusal of a payment that is part of the imported history."""
    return Conflict(
        f"Transaction `{transaction_id}` is part of the imported history.",
        "Send a new transaction_id.",
        "transaction_id",
    )


def different_content(transaction_id: str) -> Conflict:
    """The refusal of a retry whose content differs from the payment that was scored."""
    return Conflict(
        f"Transaction `{transaction_id}` was scored with other content.",
        "Send the same content again for the same answer, or a new transaction_id.",
        "transaction_id",
    )


def taken_undecided(transaction_id: str) -> Conflict:
    """The refusal of a payment that a label brought along: it is history, and its label is known before its score."""
    return Conflict(
        f"Transaction `{transaction_id}` was taken into the history undecided, together with a label.",
        "Score a payment before it is labelled, or send the label without `payment`: it then waits.",
        "transaction_id",
    )
