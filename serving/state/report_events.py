"""Outcomes and labels as events of the ledger, and the payments that they are about; for both profiles."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import InvalidHistory
from features.intake.parse import milliseconds, payment_json
from serving.decision import receipt as receipts
from serving.errors import UnknownTransaction
from serving.feedback.changes import Change
from serving.feedback.label_precedence import APPLIED, WAITING, label_in_force, state_of_label
from serving.feedback.reports import KnownReport, Original, of_event, of_kind
from serving.feedback.waiting import event_body, report_of
from serving.ledger.event_bodies import ReportEvent, decode_waiting, encode
from serving.ledger.history_segment import Segment, payment_of_row
from serving.ledger.reader import Event
from serving.messages import Recorded, RecordedLabel
from serving.state.foldable import (
    UNFOLDABLE,
    CannotFold,
    PaymentStep,
    ReportStep,
    checked_step_of,
    reason_of,
    step_of,
)

#: Kinds of events about a payment that hold its outcomes and labels, and what was refused after it had waited.
REPORT_KINDS = ("outcome", "label", "waiting")


class FeedbackResult(NamedTuple):
    """The reply to a report, and whether the report was recorded before."""

    reply: Recorded
    replayed: bool

    @property
    def waits(self) -> bool:
        """Whether the report waits for its payment."""
        return self.reply.status == WAITING


def report_event(
    payment: Payment, one: KnownReport, change: Change, verdict_seq: int | None, brought: bool = False
) -> Event:
    """The event of a report about a known payment, without a sequence number.

    Raises: CannotFold for a payment that JSON cannot carry.
    """
    try:
        raw = msgspec.Raw(payment_json(payment))
    except UNFOLDABLE as error:
        raise CannotFold(reason_of(error), "transaction_id") from error
    name, at_ms = payment.transaction_id, one.reported_at_ms
    body = ReportEvent(
        name, one.value, one.source, at_ms, change.effects, raw, verdict_seq, one.amount_minor, one.reason_code,
        change.in_force, brought, one.warnings if brought else (),
    )  # fmt: skip
    return Event(0, one.kind, name, at_ms, time.time_ns() // 1_000_000, encode(body))


def waiting_event(transaction_id: str, one: KnownReport, catalogue: Catalogue) -> Event:
    """The event of a report that waits, or was refused after it had waited; without a sequence number.

    Raises: CannotFold.
    """
    now_ms = time.time_ns() // 1_000_000
    event = Event(0, "waiting", transaction_id, one.reported_at_ms, now_ms, encode(event_body(one)))
    step_of(event, catalogue)
    return event


def undecided_payment(payment: Payment, catalogue: Catalogue) -> tuple[Event, PaymentStep]:
    """The event of a payment that is taken into the history undecided, without a sequence number, and its step.

    Raises: CannotFold.
    """
    content = payment_json(payment)
    body = b'{"payment":' + content + receipts.UNDECIDED
    now_ms = time.time_ns() // 1_000_000
    event = Event(0, "payment", payment.transaction_id, payment.event_time_ms, now_ms, body)
    step = checked_step_of(event, catalogue)
    assert isinstance(step, PaymentStep)
    return event, step


def reply_of(
    transaction_id: str, one: KnownReport, known: Sequence[KnownReport] | None, precedence: Sequence[str]
) -> Recorded:
    """The reply to a report that is among `known`, the reports about its payment; None: it waits for the payment."""
    if one.kind == "outcome":
        return Recorded(transaction_id, one.value, WAITING if known is None else APPLIED)
    if known is None:
        return RecordedLabel(transaction_id, one.value, WAITING, None)
    labels = of_kind(known, "label")
    status = state_of_label(one, labels, precedence)
    return RecordedLabel(transaction_id, one.value, status, label_in_force(labels).label)


def reports_in(events: Iterable[Event], catalogue: Catalogue) -> list[KnownReport]:
    """The outcomes and labels of these events, without those that are set aside, or that wait and are not refused."""
    found = []
    for event in events:
        with contextlib.suppress(CannotFold):
            step = step_of(event, catalogue)
            if isinstance(step, ReportStep):
                found.append(of_event(event.kind, step.report))
            elif event.kind == "waiting" and (report := report_of(decode_waiting(event.body))).refused is not None:
                found.append(report)
    return found


def scored_here(event: Event, catalogue: Catalogue) -> Original:
    """The payment of a `payment` event.

    Raises: CannotFold when the event is set aside.
    """
    step = step_of(event, catalogue)
    assert isinstance(step, PaymentStep)
    return Original(step.payment)


def unknown_transaction(transaction_id: str) -> UnknownTransaction:
    """The refusal of a verdict about an unknown payment."""
    return UnknownTransaction(
        f"Transaction `{transaction_id}` was never scored here and is in no imported history.",
        "Score the payment first, or correct the transaction_id.",
        "transaction_id",
    )


def in_history(segment: Segment, transaction_id: str) -> Original | None:
    """A transaction of an imported history; its reports from `until_ms` on do not count.

    Raises: CannotFold for a row that is no payment, InvalidHistory.
    """
    try:
        row = segment.row(transaction_id)
        return None if row is None else _original_of(row, segment)
    except InvalidHistory:
        raise
    except UNFOLDABLE as error:
        raise CannotFold(reason_of(error), "transaction_id") from error


def _original_of(row: dict[str, Any], segment: Segment) -> Original:
    before = []
    for kind, source in (("outcome", None), ("label", row.get("label_source"))):
        value = row.get(kind)
        if value is None:
            continue
        at_ms = milliseconds(row[f"{kind}_time"])
        if at_ms < segment.until_ms:
            before.append(KnownReport(kind, value, source, at_ms))
    return Original(payment_of_row(row), tuple(before))
