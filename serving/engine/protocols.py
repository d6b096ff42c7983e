"""The protocols behind which both profiles stand: what the API calls, what each call returns and raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.intake.tokens import Tokens
from serving.decision.evaluator import FULL
from serving.engine.scored import OnScored, Scored
from serving.feedback.reports import KnownReport, LabelReport, OutcomeReport
from serving.feedback.view import KnownPayment
from serving.ledger.reader import Event
from serving.lists.book import ListBook
from serving.lists.changes import ListService
from serving.messages import Ready
from serving.settings import Settings
from serving.shared_bounds.bounds import Bounds
from serving.state.report_events import FeedbackResult
from serving.state.startup import Opened
from serving.telemetry.metrics import Metrics


class Engine(Protocol):
    """Scores payments: serving/engine/embedded/engine.py and serving/engine/clustered/engine.py."""

    catalogue: Catalogue

    @property
    def late(self) -> bool:
        """Whether the server of the state is late with a reply to a payment; False without a server."""

    @property
    def trip_ns(self) -> int:
        """The usual round trip to that server, ns; 0 without a server."""

    async def answer(
        self, payment: Payment, started_ns: int, *, explain_approved: bool = False, best_tier: str = FULL
    ) -> Scored:
        """Score and record one payment, and wait until that is durable.

        Takes a valid payment and when it arrived (monotonic ns): its deadline counts from there. `explain_approved`
        asks for the reasons of an approval too; `best_tier` is the best tier allowed under load.
        Gives the answer, which may be sent immediately; a retry gets the first answer, with `replayed`. A failing
        server or ledger is no error: the payment is decided at a lower tier.
        Raises: Refused for an event time outside the clock's window; Conflict for a known id with other content, and
        for a payment of the imported history.
        """

    async def dry_run(self, payment: Payment) -> Scored:
        """Decide and explain without recording or counting anything (`?dry_run=1`).

        Takes a valid payment, scored before or not; gives an answer without a receipt, never `replayed`.
        Raises: Refused for an event time outside the clock's window; the embedded engine also Conflict for a payment
        of the imported history.
        """

    async def payment_event(self, transaction_id: str) -> Event | None:
        """The `payment` event with the decision about a transaction.

        Takes the caller's id of the payment; gives None for one that was never decided here.
        Raises: LedgerError, LedgerUnavailable.
        """


class ServerEngine(Engine, Protocol):
    """An engine whose state is on a server, so that an answer comes in a later turn of the event loop."""

    def begin_by_amount(self, payment: Payment, started_ns: int, on_scored: OnScored) -> bool:
        """Begin to decide a payment by amount without a task.

        Takes what `answer` takes; `on_scored` is called once, in a later turn, with the answer or its error.
        Gives False, having done nothing, for a payment that needs `answer`.
        Raises: nothing.
        """


class Feedback(Protocol):
    """Takes outcomes and labels: serving/state/feedback.py and serving/engine/clustered/feedback.py."""

    async def take_outcome(self, report: OutcomeReport) -> FeedbackResult:
        """Record an outcome, and fold it into the state; one of an unknown payment waits for it.

        Takes a valid report; gives the reply, and whether the same was recorded before, which changes nothing.
        Raises: Conflict for one that another outcome excludes; Refused for a time in the future or long before the
        payment, and for an amount that cannot be; CannotFold, Overloaded, LedgerError, LedgerUnavailable.
        """

    async def take_label(self, report: LabelReport) -> FeedbackResult:
        """Record a label, and fold what it changes into the state; one of an unknown payment waits for it.

        Takes a valid report; gives the reply, and whether the same was recorded before, which changes nothing. An
        unknown payment that the report brings along is taken into the history undecided.
        Raises: Refused for a time in the future; CannotFold, Overloaded, LedgerError, LedgerUnavailable.
        """

    async def known(self, transaction_id: str) -> KnownPayment | None:
        """The payment with its case and its reports; None for one that was neither scored, imported nor taken in.

        Raises: CannotFold for a payment that cannot be read; LedgerError, LedgerUnavailable.
        """

    async def reports_waiting(self, transaction_id: str) -> Sequence[KnownReport]:
        """The reports that wait for a payment, in order of arrival.

        Raises: LedgerUnavailable.
        """


class Runtime(Protocol):
    """One running service process: serving/engine/embedded/runtime.py and serving/engine/clustered/runtime.py.

    Making one opens the ledger, and raises CannotStart or InvalidHistory.
    """

    settings: Settings
    metrics: Metrics
    #: Replaces card numbers, with the key of this installation.
    tokens: Tokens
    #: The lists in force, empty until `prepare` is done.
    book: ListBook
    #: This process's shares of the bounds that all processes of the service keep together.
    bounds: Bounds
    #: Set while the process drains: `ready` then says so.
    stopping: bool

    @property
    def engine(self) -> Engine | None:
        """The engine; None until `prepare` is done."""

    @property
    def feedback(self) -> Feedback | None:
        """What takes reports; None until `prepare` is done."""

    @property
    def lists(self) -> ListService | None:
        """What changes the lists; None until `prepare` is done."""

    @property
    def opened(self) -> Opened:
        """The bundle that decides now; another one after a change of the champion."""

    async def prepare(self) -> None:
        """Build or join the state and get ready to score; the event loop stays free.

        Gives an `engine` and a `feedback`; call it once.
        Raises: CannotStart, StateUnavailable, LedgerError, InvalidHistory.
        """

    def begin(self) -> None:
        """Start the background work; call it in the event loop after `prepare`.

        Raises: nothing; a task that fails later is logged.
        """

    async def end(self) -> None:
        """Stop the background work, record what is pending and close every file and connection.

        May be called without `prepare`.
        Raises: nothing for what cannot be recorded, which is logged.
        """

    def ready(self) -> Ready:
        """Gives whether payments are scored in full, and if not why; at any time, without waiting.

        Raises: nothing.
        """
