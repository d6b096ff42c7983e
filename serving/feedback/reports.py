"""Outcomes and labels as a caller sends them, and as they are kept about one payment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from features.domain.payment import Payment
from serving.ledger.event_bodies import LabelInForce, ReportEvent, WaitingEvent


class KnownReport(NamedTuple):
    """An outcome or label as it is recorded; `reported_at_ms` is ms UTC, the event time of an outcome.

    `amount_minor` (minor units of the payment's currency) and `reason_code` belong to outcomes; None: not sent.
    `in_force` is the label that was in force after this one was recorded; None for an outcome, and for a label of a
    release that did not record it.
    """

    kind: str
    value: str
    source: str | None
    reported_at_ms: int
    amount_minor: int | None = None
    reason_code: str | None = None
    in_force: LabelInForce | None = None

    def repeats(self, other: KnownReport) -> bool:
        """Whether both say the same, with the same time."""
        return self[:6] == other[:6]


class Original(NamedTuple):
    """The payment of a report, with its outcome and label from the imported history."""

    payment: Payment
    before: tuple[KnownReport, ...] = ()


class OutcomeReport(msgspec.Struct, frozen=True):
    """What became of a payment; the time is milliseconds UTC, the amount minor units of the payment's currency."""

    transaction_id: str
    outcome: str
    event_time_ms: int
    amount_minor: int | None = None
    reason_code: str | None = None

    def known(self) -> KnownReport:
        """The report as it is kept."""
        return KnownReport("outcome", self.outcome, None, self.event_time_ms, self.amount_minor, self.reason_code)


class LabelReport(msgspec.Struct, frozen=True):
    """Fraud, legitimate or retracted, the source, and the time of the report (milliseconds UTC).

    `payment` is taken into the history undecided if it is not known here.
    """

    transaction_id: str
    label: str
    source: str
    reported_at_ms: int
    payment: Payment | None = None

    def known(self) -> KnownReport:
        """The report as it is kept."""
        return KnownReport("label", self.label, self.source, self.reported_at_ms)


def of_event(kind: str, body: ReportEvent | WaitingEvent) -> KnownReport:
    """The report in the body of an event."""
    in_force = body.in_force if isinstance(body, ReportEvent) else None
    return KnownReport(
        kind, body.value, body.source, body.reported_at_ms, body.amount_minor, body.reason_code, in_force
    )


def of_kind(reports: Iterable[KnownReport], kind: str) -> list[KnownReport]:
    """The outcomes or the labels among these reports, in their order."""
    return [one for one in reports if one.kind == kind]
