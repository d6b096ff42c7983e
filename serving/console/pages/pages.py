"""The pages of the console as values: a template may use its page and nothing else.

Everything is worded and formatted already; a template only places it. `Moment.iso` is ISO 8601 UTC,
`bar` a width in percent of the strongest reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """A time as people and as machines read it."""

    text: str
    iso: str


@dataclass(frozen=True)
class Frame:
    """What surrounds every page; `name` is None when nobody is signed in."""

    title: str
    name: str | None
    role: str | None
    csrf: str
    confirmation: str | None


@dataclass(frozen=True)
class SignInPage:
    """Asks for name and password; `problem` says why the last attempt was refused."""

    frame: Frame
    visit: str
    name: str
    problem: str | None


@dataclass(frozen=True)
class ErrorPage:
    """Every refusal looks like this: what happened and how to go on."""

    frame: Frame
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
    """One case in the queue; `word` is the decision or verdict, `kind` its style."""

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

    frame: Frame
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
    """One thing known about the payment; `value` None was not sent."""

    name: str
    value: str | None


@dataclass(frozen=True)
class ReasonLine:
    """One reason: sentence, the signal that tells it best with its value, and how much it weighs."""

    text: str
    signal: str | None
    value: str | None
    weight: str | None
    bar: float
    code: str


@dataclass(frozen=True)
class FeatureRow:
    """One feature as served; `value` None is missing, and `missing` says how. `told` if a reason names it."""

    sentence: str
    name: str
    value: str | None
    missing: str
    told: bool


@dataclass(frozen=True)
class FeatureFamily:
    """The features of one fraud story; `opened` if a reason names one of them."""

    story: str
    known: str
    opened: bool
    rows: tuple[FeatureRow, ...]


@dataclass(frozen=True)
class RecentRow:
    """One payment of a party around this one."""

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
    """What was decided about a resolved case."""

    verdict: str
    by: str
    at: Moment
    note: str


@dataclass(frozen=True)
class VerdictForm:
    """Asks for the verdict; filled with what was sent when something about it was wrong."""

    action: str
    csrf: str
    verdict: str
    note: str
    problems: tuple[str, ...]
    longest_note: int


@dataclass(frozen=True)
class CasePage:
    """One case: what was paid, what was decided and why, what is known around it, and the verdict."""

    frame: Frame
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
