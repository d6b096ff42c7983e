"""Outcomes and labels as a caller sends them, and as they are kept about one payment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from features.domain.payment import FieldWarning, Payment
from serving.ledger.event_bodies import LabelInForce, Refusal, ReportEvent, WaitingEvent


class KnownReport(NamedTuple):
    """An outcome or label as it is recorded; `reported_at_ms` is ms UTC, the event time of an outcome.

    `amount_minor` (minor units of the payment's currency) and `reason_code` belong to outcomes; None: not sent.
    `in_force` is the label that was in force after this one was recorded; None for an outcome, and for a label of a
    release that did not record it. `refused` says why a report that waited was not applied to its payment. `warnings`
    are those of the payment that a label brought along.
    """

    kind: str
    value: str
    source: str | None
    reported_at_ms: int
    amount_minor: int | None = None
    reason_code: str | None = None
    in_force: LabelInForce | None = None
    refused: Refusal | None = None
    warnings: tuple[FieldWarning, ...] = ()

    def repeats(self, other: KnownReport) -> bool:
        """Whether both say the same, with the same time."""
        return self[:6] == other[:6]


class Original(NamedTuple):
    """The payment of a report, with its outcome and label from the imported history."""

    payment: Payment
    before: tuple[KnownReport, ...] = ()


class OutcomeReport(msgspec.Struct, frozen=True):
    """What became of a payment; the time is milliseconds UTC, the amount minor units of the payment's currency.

    `warnings` say what of the report is kept in another form.
    """

    transaction_id: str
    outcome: str
    event_time_ms: int
    amount_minor: int | None = None
    reason_code: str | None = None
    warnings: tuple[FieldWarning, ...] = ()

    def known(self) -> KnownReport:
        """The report as it is kept."""
        return KnownReport("outcome", self.outcome, None, self.event_time_ms, self.amount_minor, self.reason_code)


class LabelReport(msgspec.Struct, frozen=True):
    """Fraud, legitimate or retracted, the source, and the time of the report (milliseconds UTC).

    `payment` is taken into the history undecided if it is not known here. `warnings` say what of the report is kept in
    another form, or not at all; those about its payment name fields as `payment.ip`.
    """

    transaction_id: str
    label: str
    source: str
    reported_at_ms: int
    payment: Payment | None = None
    warnings: tuple[FieldWarning, ...] = ()

    def known(self) -> KnownReport:
        """The report as it is kept."""
        return KnownReport("label", self.label, self.source, self.reported_at_ms)

    def brings(self) -> KnownReport:
        """The report as it is kept when its payment was not known before."""
        return self.known()._replace(warnings=() if self.payment is None else self.payment.warnings)


def of_event(kind: str, body: ReportEvent | WaitingEvent) -> KnownReport:
    """The report in the body of an event."""
    report = KnownReport(kind, body.value, body.source, body.reported_at_ms, body.amount_minor, body.reason_code)
    if isinstance(body, ReportEvent):
        return report._replace(in_force=body.in_force, warnings=body.warnings)
    return report._replace(refused=body.refused)


def of_kind(reports: Iterable[KnownReport], kind: str) -> list[KnownReport]:
    """The outcomes or the labels among these reports that were not refused, in their order."""
    return [one for one in reports if one.kind == kind and one.refused is None]


def refused_among(reports: Sequence[KnownReport]) -> list[KnownReport]:
    """The reports that were refused after they had waited, and not taken when they were sent again."""
    taken = [one for one in reports if one.refused is None]
    return [one for one in reports if one.refused is not None and not any(one.repeats(other) for other in taken)]


def encode_reports(reports: Iterable[KnownReport]) -> bytes:
    """Reports as JSON for Redis; without the last two fields if these are empty, so that older workers read them."""
    return msgspec.json.encode([one if one.refused or one.warnings else one[:-2] for one in reports])


#: Reads what `encode_reports` wrote, of this release or an earlier one.
decode_reports = msgspec.json.Decoder(list[KnownReport]).decode
