"""What `GET /v1/decisions/{transaction_id}` tells of one payment: decision, case, outcomes and the label in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from features.bundle.policy import DECISIONS
from features.domain.payment import LABEL_SOURCES, LABELS, OUTCOMES, FieldWarning
from features.intake.parse import moment_of
from serving.cases.cases import OPENING_DECISIONS, Case
from serving.decision.evaluator import TIERS
from serving.decision.receipt import one_of
from serving.errors import UnknownTransaction
from serving.feedback.label_precedence import label_in_force
from serving.feedback.reports import KnownReport, Original, of_kind, refused_among
from serving.ledger.event_bodies import Refusal

_Word = Annotated[str, one_of(OUTCOMES)]
_Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC.")]


class KnownPayment(NamedTuple):
    """All that is known of a payment: with its case if one is recorded, and its reports in order of arrival."""

    original: Original
    reports: Sequence[KnownReport]
    case: Case | None


class CaseState(msgspec.Struct, frozen=True):
    """The case of a payment at the review desk, and its verdict once it is resolved."""

    state: Annotated[str, one_of(("open", "resolved"))]
    verdict: Annotated[str | None, Meta(extra_json_schema={"enum": [*LABELS, None]})]
    verdict_at: _Time | None


class OutcomeState(msgspec.Struct, frozen=True):
    """One outcome of a payment; null: not sent."""

    outcome: _Word
    amount_minor: int | None
    reason_code: str | None
    event_time: _Time


class RefusedReport(msgspec.Struct, frozen=True):
    """A report that was answered 202, waited for its payment and was then refused; it changed nothing.

    `kind` says whether it is an outcome or a label, `value` which; `time` is its `event_time` or `reported_at`.
    """

    kind: Annotated[str, one_of(("outcome", "label"))]
    value: str
    source: Annotated[str | None, Meta(extra_json_schema={"enum": [*LABEL_SOURCES, None]})]
    amount_minor: int | None
    reason_code: str | None
    time: _Time
    code: Annotated[str, Meta(description="The code of the error that the report would get now.")]
    message: str


class LabelState(msgspec.Struct, frozen=True):
    """The label in force, and who reported it when."""

    label: Annotated[str, one_of(LABELS)]
    source: Annotated[str | None, Meta(extra_json_schema={"enum": [*LABEL_SOURCES, None]})]
    reported_at: _Time


class PaymentStatus(msgspec.Struct, frozen=True):
    """What is known of one payment: its decision, its case, its outcomes by event time, and the label in force.

    `refused` are the reports that waited for the payment and contradicted it when it came.
    `decision` and what belongs to it are null for a payment that was imported or taken in undecided.
    """

    transaction_id: str
    decision: Annotated[str | None, Meta(extra_json_schema={"enum": [*DECISIONS, None]})]
    score: float | None
    tier: Annotated[str | None, Meta(extra_json_schema={"enum": [*TIERS, None]})]
    model: str | None
    policy: str | None
    receipt_id: str | None
    event_time: _Time
    case: CaseState | None
    outcomes: tuple[OutcomeState, ...]
    label: LabelState | None
    effective: Annotated[str | None, Meta(extra_json_schema={"enum": [*LABELS, None]})]
    warnings: Annotated[
        tuple[Any, ...], Meta(description="The warnings of the decision, or of the payment that a label brought along.")
    ]
    refused: tuple[RefusedReport, ...] = ()


class _Decided(msgspec.Struct):
    """What this view repeats of an answer, whichever release gave it."""

    decision: str | None = None
    score: float | None = None
    tier: str | None = None
    model: str | None = None
    policy: str | None = None
    receipt_id: str | None = None
    warnings: tuple[Any, ...] = ()


_decode_answer = msgspec.json.Decoder(_Decided).decode


def status_of(known: KnownPayment, answer: bytes | None) -> PaymentStatus:
    """What is told of a payment; `answer` is the decision about it as it was sent, None without one."""
    payment, reports = known.original.payment, (*known.original.before, *known.reports)
    decided = _Decided() if answer is None else _decode_answer(answer)
    held = label_in_force(of_kind(reports, "label"))
    label = None if held.label is None else LabelState(held.label, held.source, moment_of(held.reported_at_ms))
    outcomes = sorted(of_kind(reports, "outcome"), key=lambda one: one.reported_at_ms)
    return PaymentStatus(
        payment.transaction_id, decided.decision, decided.score, decided.tier, decided.model, decided.policy,
        decided.receipt_id, moment_of(payment.event_time_ms), _case(known.case, decided.decision),
        tuple([
            OutcomeState(one.value, one.amount_minor, one.reason_code, moment_of(one.reported_at_ms))
            for one in outcomes
        ]),
        label, held.label, _warnings(reports) if answer is None else decided.warnings,
        tuple([_refused(one, one.refused) for one in refused_among(reports) if one.refused is not None]),
    )  # fmt: skip


def _warnings(reports: Sequence[KnownReport]) -> tuple[FieldWarning, ...]:
    return next((one.warnings for one in reports if one.warnings), ())


def _refused(one: KnownReport, reason: Refusal) -> RefusedReport:
    return RefusedReport(
        one.kind, one.value, one.source, one.amount_minor, one.reason_code, moment_of(one.reported_at_ms),
        reason.code, reason.message,
    )  # fmt: skip


def unknown_payment(waiting: Sequence[KnownReport]) -> UnknownTransaction:
    """The refusal of a look at a payment that is not known here; `waiting` are the reports that wait for it."""
    if waiting:
        return UnknownTransaction(
            f"Only reports are known of this transaction_id ({len(waiting)} of them): they wait for its payment.",
            "Score the payment (`late` if need be), or send it with a label.",
            "transaction_id",
        )
    return UnknownTransaction(
        "No payment of this transaction_id is known here.", "Correct the transaction_id.", "transaction_id"
    )


def _case(case: Case | None, decision: str | None) -> CaseState | None:
    if case is not None:
        at = None if case.verdict_at is None else moment_of(case.verdict_at)
        return CaseState("open" if case.is_open else "resolved", case.verdict, at)
    # The recorder has not written the case yet that the decision opened.
    return CaseState("open", None, None) if decision in OPENING_DECISIONS else None
