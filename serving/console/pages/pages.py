"""The pages of the console as values: a template may use its page and nothing else.

Every text is worded and formatted already; a template only places it. `Moment.iso` is ISO 8601 UTC, `bar` a width in
percent of the strongest reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """A time for people and for machines."""

    text: str
    iso: str


@dataclass(frozen=True)
class PageFrame:
    """The frame of every page; `name` is None without a session."""

    title: str
    name: str | None
    role: str | None
    csrf: str
    confirmation: str | None


@dataclass(frozen=True)
class SignInPage:
    """The sign-in form; `problem` says why the last attempt was refused."""

    frame: PageFrame
    visit: str
    name: str
    problem: str | None


@dataclass(frozen=True)
class ErrorPage:
    """The page of every refusal: what happened and what to do next."""

    frame: PageFrame
    heading: str
    message: str
    repair: str
    code: str
    back: str
    back_text: str


@dataclass(frozen=True)
class Choice:
    """One link of a filter."""

    text: str
    href: str
    chosen: bool


@dataclass(frozen=True)
class QueueRow:
    """One case in the queue; `verdict` is None while it is open."""

    transaction_id: str
    href: str
    risk: str
    amount: str
    score: str
    decision: str
    reason: str
    payer: str
    payee: str
    opened: Moment
    waiting: str
    verdict: str | None


@dataclass(frozen=True)
class QueuePage:
    """The queue, sorted by money at risk."""

    frame: PageFrame
    open_count: str
    open_risk: str
    states: tuple[Choice, ...]
    decisions: tuple[Choice, ...]
    find: str
    keep_state: str
    keep_decision: str
    rows: tuple[QueueRow, ...]
    range_text: str
    previous_href: str | None
    next_href: str | None
    empty_heading: str
    empty_text: str


@dataclass(frozen=True)
class Fact:
    """One field of the payment; `value` is None if it was not sent."""

    name: str
    value: str | None


@dataclass(frozen=True)
class ReasonLine:
    """One reason: its sentence, its strongest feature with the value, and its weight."""

    text: str
    signal: str | None
    value: str | None
    weight: str | None
    bar: float
    code: str


@dataclass(frozen=True)
class FeatureRow:
    """One feature as served; `value` is None if missing, `missing` says why; `in_reason` if a reason names it."""

    sentence: str
    name: str
    value: str | None
    missing: str
    in_reason: bool


@dataclass(frozen=True)
class FeatureFamily:
    """The features of one fraud story; `opened` if a reason names one of them."""

    story: str
    known: str
    opened: bool
    rows: tuple[FeatureRow, ...]


@dataclass(frozen=True)
class RecentRow:
    """One recent payment of a party."""

    transaction_id: str
    href: str | None
    when: Moment
    apart: str
    amount: str
    way: str
    other: str
    score: str
    decision: str
    known: str
    is_this: bool


@dataclass(frozen=True)
class RecentPayments:
    """The latest payments of one party; `other_name` heads the column of the opposite party."""

    title: str
    identifier: str | None
    other_name: str
    rows: tuple[RecentRow, ...]


@dataclass(frozen=True)
class TimelineEntry:
    """One event about this payment."""

    when: Moment
    text: str
    detail: str


@dataclass(frozen=True)
class GivenVerdict:
    """The verdict on a resolved case."""

    verdict: str
    by: str
    at: Moment
    note: str


@dataclass(frozen=True)
class VerdictForm:
    """The verdict form; filled with what was sent if it had problems."""

    action: str
    csrf: str
    verdict: str
    note: str
    problems: tuple[str, ...]
    longest_note: int


@dataclass(frozen=True)
class CasePage:
    """One case: the payment, the decision and its reasons, recent payments of its parties, and the verdict."""

    frame: PageFrame
    transaction_id: str
    amount: str
    decision: str
    score: str
    risk: str
    paid: Moment
    opened: Moment
    parties: str
    facts: tuple[Fact, ...]
    reasons: tuple[ReasonLine, ...]
    rules: tuple[str, ...]
    versions: tuple[Fact, ...]
    families: tuple[FeatureFamily, ...]
    features_note: str | None
    recent: tuple[RecentPayments, ...]
    recent_note: str | None
    timeline: tuple[TimelineEntry, ...]
    form: VerdictForm | None
    given: GivenVerdict | None
    closed_note: str | None


Page = SignInPage | ErrorPage | QueuePage | CasePage
