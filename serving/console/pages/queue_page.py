"""The queue as a page; pure."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from serving.cases.cases import OPENING_DECISIONS, Case
from serving.console.desk import PAGE_SIZE, QueueView
from serving.console.pages.pages import Choice, Moment, PageFrame, QueuePage, QueueRow
from serving.console.pages.wording import grouped, iso, moment, money, percent, span
from serving.decision.receipt import decode_answer, decode_body
from serving.ledger.reader import Event

STATES = ("open", "resolved", "all")
DECISIONS = ("all", *OPENING_DECISIONS)


class QueueQuery(msgspec.Struct, frozen=True):
    """The part of the queue to show; `page` counts from 1."""

    state: str = "open"
    decision: str = "all"
    find: str = ""
    page: int = 1

    @property
    def status_filter(self) -> str | None:
        """The status to look for, None for any; a search for an identifier covers every status."""
        return None if self.find or self.state == "all" else self.state

    @property
    def decision_filter(self) -> str | None:
        """The decision to look for, None for any."""
        return None if self.decision == "all" else self.decision

    @property
    def find_filter(self) -> str | None:
        """The identifier to look for, None for any."""
        return self.find or None

    def href(self, **changes: str | int) -> str:
        """The URL of this part of the queue with some values changed; defaults are left out."""
        wanted = {**msgspec.structs.asdict(self), **changes}
        default = msgspec.structs.asdict(QueueQuery())
        query = urlencode({key: value for key, value in wanted.items() if value != default[key]})
        return f"/cases?{query}" if query else "/cases"


def case_href(transaction_id: str) -> str:
    """The URL of one case; the id is in the query, because a path would change ids such as `..` and `a//b`.

    >>> case_href("a/b c")
    '/case?id=a%2Fb+c'
    """
    return "/case?" + urlencode({"id": transaction_id})


def queue_page(view: QueueView, query: QueueQuery, frame: PageFrame, reference: str) -> QueuePage:
    """One page of the queue; `reference` is the currency of the money at risk."""
    first = (query.page - 1) * PAGE_SIZE + 1
    last = first + len(view.cases) - 1
    heading, text = _when_empty(query, view.total)
    return QueuePage(
        frame=frame,
        open_count=grouped(str(view.open_count), indian=reference == "INR"),
        open_risk=money(view.open_risk_minor, reference),
        states=_choices(query, "state", STATES),
        decisions=_choices(query, "decision", DECISIONS),
        find=query.find,
        keep_state=query.state,
        keep_decision=query.decision,
        rows=tuple(_row(case, view.payments.get(case.transaction_id), view.now_ms, reference) for case in view.cases),
        range_text=f"{first}–{last} of {view.total}" if view.cases else "",
        previous_href=query.href(page=query.page - 1) if query.page > 1 else None,
        next_href=query.href(page=query.page + 1) if last < view.total and view.cases else None,
        empty_heading=heading,
        empty_text=text,
    )


def _choices(query: QueueQuery, key: str, values: tuple[str, ...]) -> tuple[Choice, ...]:
    chosen = "all" if key == "state" and query.find else getattr(query, key)

    def wanted(value: str) -> str:
        return query.href(state=value, page=1) if key == "state" else query.href(decision=value, page=1)

    return tuple(Choice(value.capitalize(), wanted(value), value == chosen) for value in values)


def _row(case: Case, event: Event | None, now_ms: int, reference: str) -> QueueRow:
    reason = ""
    if event is not None:
        reasons = decode_answer(decode_body(event.body).answer).reasons
        reason = reasons[0].text if reasons else ""
    return QueueRow(
        transaction_id=case.transaction_id,
        href=case_href(case.transaction_id),
        risk=money(case.risk_minor, reference),
        amount=money(case.amount_minor, case.currency),
        score=percent(case.score),
        decision=case.decision,
        reason=reason,
        payer=case.payer_id,
        payee=case.payee_id,
        opened=Moment(moment(case.opened_ms), iso(case.opened_ms)),
        waiting=f"for {span((now_ms - case.opened_ms) / 1000)}" if now_ms >= case.opened_ms and case.is_open else "",
        verdict=case.verdict,
    )


def _when_empty(query: QueueQuery, total: int) -> tuple[str, str]:
    if total:
        return "There is nothing on this page.", "The queue has become shorter; go back to its first page."
    if query.find:
        return "No case matches.", "Look for the exact identifier of a transaction, payer, device or payee."
    if query.state == "open" and query.decision == "all":
        return "The queue is empty.", "Every flagged payment has a verdict. New cases appear here as they are opened."
    return "No cases here.", "Choose another filter to see more."
