"""The use cases of the desk, each with its permission check first: show the queue, show a case, record a verdict."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from features.intake.card_numbers import holds_card_number
from features.intake.tokens import Tokens
from serving.cases import cases, party_index, queries
from serving.cases.cases import Case, Verdict
from serving.cases.party_index import PARTIES, Party
from serving.console.auth.permission import Actor, may
from serving.decision.clock import SystemClock
from serving.ledger.reader import Event, SqlConnection

PAGE_SIZE = 25
RECENT_PAYMENTS = 8
#: Slices of the ledger folded into the desk's index during a page request.
SLICES_PER_PAGE = 5


@dataclass(frozen=True)
class QueueView:
    """One page of the queue; `payments` holds the payment events of its cases by transaction.

    `promotion` is the body of the newest `promotion` event: it names the bundle that decides.
    """

    cases: tuple[Case, ...]
    payments: dict[str, Event]
    total: int
    open_count: int
    open_risk_minor: int
    now_ms: int
    promotion: bytes | None


@dataclass(frozen=True)
class CaseView:
    """One case with the ledger's events about it and its parties.

    `events` are in order of arrival; `recent` newest first, per party that the payment names; `reports` are the
    outcomes, labels and verdicts about the recent payments; `unread` is how many events the index of recent payments
    is behind the ledger; `promotion` as in QueueView.
    """

    case: Case
    events: tuple[Event, ...]
    recent: dict[Party, tuple[Event, ...]]
    reports: tuple[Event, ...]
    unread: int
    promotion: bytes | None


class DeskLedger(Protocol):
    """The ledger of the desk: SQLite (serving/cases/sqlite.py) or PostgreSQL (serving/cases/postgres.py)."""

    def opened(self) -> AbstractContextManager[Any]:
        """A connection for one task, for the functions of `serving.cases.cases` and `serving.cases.queries`.

        Raises: LedgerUnavailable.
        """

    def resolve(self, connection: Any, verdict: Verdict) -> int:
        """Append a verdict and close its case in one transaction; returns the event's sequence number.

        Raises: UnknownCase, AlreadyResolved, LedgerUnavailable.
        """


class Desk:
    """The use cases of the console over one ledger; each call opens and closes its own connection."""

    def __init__(
        self,
        ledger: DeskLedger,
        index_path: Path,
        *,
        replay_clock: bool = False,
        tokens: Callable[[], Tokens | None] = lambda: None,
        wall_ms: Callable[[], int] = SystemClock().now_ms,
    ) -> None:
        self._ledger = ledger
        self._index_path = index_path
        self._replay_clock = replay_clock
        self._tokens = tokens
        self._wall_ms = wall_ms

    def as_kept(self, identifier: str) -> str:
        """An identifier as the ledger keeps it: the token of a card number, which the desk looks for and shows.

        Raises: RiskgateError when the key of the tokens cannot be read.
        """
        if not holds_card_number(identifier):
            return identifier
        tokens = self._tokens()
        return identifier if tokens is None else tokens.replace(identifier)[0]

    def queue(
        self, actor: Actor, *, status: str | None, decision: str | None, find: str | None, page: int
    ) -> QueueView:
        """The cases that match, open first, then by money at risk; `page` counts from 1."""
        may(actor).read_queue()
        with self._ledger.opened() as ledger:
            found, total = cases.queue(
                ledger,
                status=status,
                decision=decision,
                find=find,
                limit=PAGE_SIZE,
                offset=(page - 1) * PAGE_SIZE,
            )
            count, risk = cases.open_totals(ledger)
            payments = queries.payments_by_id(ledger, [case.transaction_id for case in found])
            promotion = queries.latest_promotion(ledger)
            return QueueView(tuple(found), payments, total, count, risk, self._now_ms(ledger), promotion)

    def case(self, actor: Actor, transaction_id: str) -> CaseView:
        """One case.

        Raises: UnknownCase, NotAllowed.
        """
        with self._ledger.opened() as ledger:
            case = cases.case_of(ledger, transaction_id)
            may(actor).read_case(case)
            events = queries.history(ledger, transaction_id)
            with closing(party_index.connect(self._index_path)) as index:
                level = any(party_index.catch_up(index, ledger) < party_index.SLICE for _ in range(SLICES_PER_PAGE))
                unread = 0 if level else party_index.behind(index, ledger)
                identifiers: dict[Party, str | None] = {
                    "payer": case.payer_id,
                    "device": case.device_id,
                    "payee": case.payee_id,
                }
                recent = {
                    party: tuple(party_index.payments_of(index, ledger, party, identifier, limit=RECENT_PAYMENTS))
                    for party in PARTIES
                    if (identifier := identifiers[party]) is not None
                }
            around = {event.transaction_id for events_of in recent.values() for event in events_of}
            reports = queries.reports_of(ledger, sorted(around))
            promotion = queries.latest_promotion(ledger)
        return CaseView(case, tuple(events), recent, tuple(reports), unread, promotion)

    def resolve(self, actor: Actor, transaction_id: str, verdict: str, note: str) -> int:
        """Record a verdict and close its case; returns how many cases are still open.

        Raises: UnknownCase, NotAllowed, AlreadyResolved.
        """
        with self._ledger.opened() as ledger:
            may(actor).resolve(cases.case_of(ledger, transaction_id))
            now_ms = self._now_ms(ledger)
            self._ledger.resolve(ledger, Verdict(transaction_id, verdict, note, actor.name, now_ms, self._wall_ms()))
            return cases.open_totals(ledger)[0]

    def fold_index(self) -> int:
        """Fold the next slices of the ledger into the desk's index; returns how many payments, 0 if up to date."""
        with self._ledger.opened() as ledger, closing(party_index.connect(self._index_path)) as index:
            return party_index.catch_up(index, ledger, party_index.BULK_SLICES)

    def _now_ms(self, ledger: SqlConnection) -> int:
        """The current time; with the replay clock the event time of the newest payment."""
        present = queries.present_ms(ledger) if self._replay_clock else None
        return self._wall_ms() if present is None else present
