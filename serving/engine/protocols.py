"""The protocols behind which both profiles stand: what the API calls, what each call returns and raises."""

from __future__ import annotations

from typing import Protocol

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from serving.decision.evaluator import FULL
from serving.engine.scored import OnScored, Scored
from serving.ledger.reader import Event
from serving.messages import Ready
from serving.settings import Settings
from serving.state.feedback import FeedbackResult
from serving.state.outcomes import LabelReport, OutcomeReport
from serving.state.startup import Opened
from serving.telemetry.metrics import Metrics


class Engine(Protocol):
    """Scores payments: serving/engine/embedded/engine.py and serving/engine/clustered/engine.py."""

    catalogue: Catalogue

    @property
    def late(self) -> bool:
        """Whether payments wait for a server that does not keep up."""

    @property
    def trip_ns(self) -> int:
        """The usual round trip to that server, ns; 0 without a server."""

    async def answer(
        self, payment: Payment, started_ns: int, *, explain_approved: bool = False, best_tier: str = FULL
    ) -> Scored:
        """Score and record one payment, at `best_tier` or a lower tier; the answer may be sent immediately.

        `started_ns` (monotonic) is when the payment arrived: its deadline counts from there.
        Raises: Refused for an event time outside the clock's window, Conflict for a known id with other content.
        """

    async def dry_run(self, payment: Payment) -> Scored:
        """Decide and explain without recording or counting anything (`?dry_run=1`).

        Raises: Refused for an event time outside the clock's window.
        """

    async def payment_event(self, transaction_id: str) -> Event | None:
        """The `payment` event with the decision about that transaction, or None.

        Raises: LedgerError, LedgerUnavailable.
        """


class ServerEngine(Engine, Protocol):
    """An engine whose state is on a server, so that an answer comes in a later turn of the event loop."""

    def begin_by_amount(self, payment: Payment, started_ns: int, on_scored: OnScored) -> bool:
        """Begin to decide a payment by amount without a task; `on_scored` is called once with the answer.

        Returns False, having done nothing, for a payment that needs `answer`.
        """


class Feedback(Protocol):
    """Takes outcomes and labels: serving/state/feedback.py and serving/engine/clustered/feedback.py."""

    async def take_outcome(self, report: OutcomeReport) -> FeedbackResult:
        """Record what the issuer did; a repeated outcome changes nothing.

        Raises: UnknownTransaction, CannotFold, LedgerError, LedgerUnavailable.
        """

    async def take_label(self, report: LabelReport) -> FeedbackResult:
        """Record a label; a repeated one changes nothing, of two that disagree the later reported wins.

        Raises: UnknownTransaction, CannotFold, LedgerError, LedgerUnavailable, Conflict if a later report disagrees.
        """


class Runtime(Protocol):
    """One running service process: serving/engine/embedded/runtime.py and serving/engine/clustered/runtime.py."""

    settings: Settings
    metrics: Metrics
    #: Set while the process drains: `ready` then says so.
    stopping: bool

    @property
    def engine(self) -> Engine | None:
        """The engine; None until `prepare` is done."""

    @property
    def feedback(self) -> Feedback | None:
        """What takes reports; None until `prepare` is done."""

    @property
    def opened(self) -> Opened:
        """The bundle that decides."""

    async def prepare(self) -> None:
        """Build or join the state and get ready to score; the event loop stays free.

        Raises: CannotStart, StateUnavailable, LedgerError.
        """

    def begin(self) -> None:
        """Start the background work; call it in the event loop after `prepare`."""

    async def end(self) -> None:
        """Stop the background work, record what is pending and close every file and connection."""

    def ready(self) -> Ready:
        """Whether payments are scored in full, and if not why."""
