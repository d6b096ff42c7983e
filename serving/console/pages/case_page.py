"""One case as a page; pure."""

from __future__ import annotations

from typing import Any

import msgspec

from features.domain.payment_fields import BY_NAME
from serving.cases.cases import OPENING_DECISIONS
from serving.cases.party_index import PARTIES, Party
from serving.console.desk import CaseView
from serving.console.pages.catalogues import Catalogues
from serving.console.pages.explain import feature_families, reason_lines
from serving.console.pages.pages import (
    CasePage,
    Fact,
    GivenVerdict,
    Moment,
    PageFrame,
    RecentPayments,
    RecentRow,
    TimelineEntry,
    VerdictForm,
)
from serving.console.pages.queue_page import case_href
from serving.console.pages.wording import apart, iso, moment, money, number, percent, plain, short_moment
from serving.decision.receipt import Answer, decided, decode_answer, decode_body
from serving.ledger.reader import Event

_OTHER: dict[Party, tuple[str, str]] = {
    "payer": ("Paid to", "payee_id"),
    "device": ("Paid by", "payer_id"),
    "payee": ("Paid by", "payer_id"),
}
_FACTS = (
    *("payer_id", "instrument_id", "payee_id", "device_id", "ip", "rail", "channel", "mcc"),
    *("payer_country", "payee_country"),
)
_SOURCES = {
    "chargeback": "by a chargeback",
    "customer_report": "by the customer",
    "network_alert": "by a network alert",
    "review": "in review",
}


def case_page(
    view: CaseView, catalogues: Catalogues, frame: PageFrame, form: VerdictForm | None, closed_note: str | None
) -> CasePage:
    """The page of one case; `form` is None if the case is resolved or the actor may not resolve it."""
    case = view.case
    event = next(event for event in view.events if event.kind == "payment")
    body = decode_body(event.body)
    payment: dict[str, Any] = msgspec.json.decode(body.payment)
    answer = decode_answer(body.answer)
    catalogue = catalogues.of(body.receipt.features)
    families, features_note = feature_families(
        body.receipt, catalogue, {reason.feature for reason in answer.reasons if reason.feature is not None}
    )
    reference = catalogues.reference_currency(view.promotion)
    return CasePage(
        frame=frame,
        transaction_id=case.transaction_id,
        amount=money(case.amount_minor, case.currency),
        decision=case.decision,
        score=percent(case.score),
        risk=money(case.risk_minor, reference),
        paid=_at(event.event_time_ms),
        opened=_at(case.opened_ms),
        parties=f"{case.payer_id} to {case.payee_id}",
        facts=_facts(payment),
        reasons=reason_lines(answer.reasons, catalogue),
        rules=tuple(plain(rule) for rule in answer.rules),
        versions=_versions(answer),
        families=families,
        features_note=features_note,
        recent=tuple(_recent(party, view) for party in PARTIES),
        recent_note=(
            f"The index is {view.unread} events behind the ledger; payments may be missing here."
            if view.unread
            else None
        ),
        timeline=tuple(_timeline(one) for one in view.events),
        form=form,
        given=_given(view),
        closed_note=closed_note,
    )


def _at(time_ms: int) -> Moment:
    return Moment(moment(time_ms), iso(time_ms))


def _facts(payment: dict[str, Any]) -> tuple[Fact, ...]:
    facts = []
    for field in _FACTS:
        sent = payment.get(field)
        shown = plain(sent) if sent is not None and field in ("rail", "channel") else sent
        facts.append(Fact(BY_NAME[field].label, shown))
    latitude, longitude = payment.get("latitude"), payment.get("longitude")
    known = latitude is not None and longitude is not None
    facts.append(Fact("Location", f"{latitude:.3f}°, {longitude:.3f}°" if known else None))
    for name, value in sorted((payment.get("attributes") or {}).items()):
        facts.append(Fact(plain(name).capitalize(), value if isinstance(value, str) else number(float(value))))
    return tuple(facts)


def _versions(answer: Answer) -> tuple[Fact, ...]:
    return (
        Fact("Tier", plain(answer.tier)),
        Fact("Not available", ", ".join(answer.missing) or "nothing"),
        Fact("Model", answer.model),
        Fact("Policy", answer.policy[:12]),
        Fact("Features", answer.features[:12]),
        Fact("Receipt", answer.receipt_id),
    )


def _recent(party: Party, view: CaseView) -> RecentPayments:
    identifier = {"payer": view.case.payer_id, "device": view.case.device_id, "payee": view.case.payee_id}[party]
    other_name, other_field = _OTHER[party]
    at_ms = next(event.event_time_ms for event in view.events if event.kind == "payment")
    rows = []
    for event in view.recent.get(party, ()):
        body = decided(event.body)
        if body is None:
            continue
        payment: dict[str, Any] = msgspec.json.decode(body.payment)
        answer = decode_answer(body.answer)
        has_case = answer.decision in OPENING_DECISIONS
        is_this = event.transaction_id == view.case.transaction_id
        rows.append(
            RecentRow(
                transaction_id=event.transaction_id,
                href=case_href(event.transaction_id) if has_case and not is_this else None,
                when=Moment(short_moment(event.event_time_ms), iso(event.event_time_ms)),
                apart="this payment" if is_this else apart(event.event_time_ms, at_ms),
                amount=money(payment["amount_minor"], payment["currency"]),
                way=f"{plain(payment['rail'])}, {plain(payment['channel'])}",
                other=payment[other_field],
                score=percent(answer.score),
                decision=answer.decision,
                known=_known(event.transaction_id, view.reports),
                is_this=is_this,
            )
        )
    return RecentPayments(f"Same {party}", identifier, other_name, tuple(rows))


def _known(transaction_id: str, reports: tuple[Event, ...]) -> str:
    """What is known of a payment: its label, else its verdict, else its outcome; the latest of each."""
    words: dict[str, str] = {}
    for report in reports:
        if report.transaction_id == transaction_id and report.kind in ("label", "verdict", "outcome"):
            body = msgspec.json.decode(report.body)
            words[report.kind] = plain(str(body["verdict" if report.kind == "verdict" else "value"]))
    return words.get("label") or words.get("verdict") or words.get("outcome") or ""


def _timeline(event: Event) -> TimelineEntry:
    text, detail = plain(event.kind).capitalize(), ""
    body = msgspec.json.decode(event.body)
    match event.kind:
        case "payment":
            answer = decode_answer(decode_body(event.body).answer)
            text = f"Decided {answer.decision}"
            detail = f"{percent(answer.score)}, tier {plain(answer.tier)}, {answer.model}"
        case "outcome":
            text, detail = f"Issuer: {plain(body['value'])}", ""
        case "label":
            text, source = f"Labelled {body['value']}", str(body["source"])
            detail = _SOURCES.get(source, plain(source))
        case "verdict":
            text, detail = f"Resolved as {body['verdict']}", f"by {body['by']}"
    return TimelineEntry(_at(event.event_time_ms), text, detail)


def _given(view: CaseView) -> GivenVerdict | None:
    case = view.case
    if case.verdict is None or case.verdict_at is None:
        return None
    return GivenVerdict(case.verdict, case.verdict_by or "", _at(case.verdict_at), case.note or "")
