"""The sandbox (`RISKGATE_SANDBOX=1`): ids of transactions that get a known answer, for tests of a caller's integration.

A test touches neither state nor ledger nor cases, whichever way it comes: singly, in a batch, on the fast path. The
engine and what takes reports are wrapped, so that every other call goes on to them.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, cast

import msgspec

from features.domain.payment import RETRACTED, Payment
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY
from serving.decision.reasons import Reason
from serving.decision.receipt import Answer
from serving.engine.protocols import Engine, Feedback, Runtime
from serving.engine.scored import OnScored, Scored
from serving.errors import Overloaded, UnknownTransaction
from serving.feedback.reports import LabelReport, OutcomeReport
from serving.feedback.view import KnownPayment
from serving.ledger.reader import Event
from serving.messages import Recorded, RecordedLabel
from serving.state.report_events import FeedbackResult
from serving.state.startup import Opened

#: How long an answer of `test_slow` takes: longer than a caller should wait, shorter than a proxy does.
SLOW_SECONDS = 2.0

_ASKED_FOR = Reason("SANDBOX", "The transaction id asks for this decision.", None, None, None)


class Script(NamedTuple):
    """What an id gets; without a decision, that of the policy's amount bands."""

    decision: str | None
    score: float | None
    tier: str = FULL
    missing: tuple[str, ...] = ()
    seconds: float = 0.0


#: By how the id begins. `test_503` gets no decision at all.
SCRIPTS = {
    "test_approve": Script("approve", 0.002),
    "test_challenge": Script("challenge", 0.08),
    "test_review": Script("review", 0.4),
    "test_decline": Script("decline", 0.97),
    "test_rules_only": Script("approve", None, RULES_ONLY, ("model",)),
    "test_default": Script(None, None, DEFAULT, ("features", "model")),
    "test_503": Script(None, None),
    "test_slow": Script("approve", 0.002, seconds=SLOW_SECONDS),
}
_PREFIXES = tuple(SCRIPTS)
_encode = msgspec.json.Encoder().encode


class SandboxAnswer(Answer, frozen=True, kw_only=True):
    """The answer to a test: it says so, and names no receipt."""

    test: bool = True


class SandboxOutcome(Recorded, frozen=True, kw_only=True):
    """The reply to an outcome of a test."""

    test: bool = True


class SandboxLabel(RecordedLabel, frozen=True, kw_only=True):
    """The reply to a label of a test."""

    test: bool = True


def is_test(transaction_id: str) -> bool:
    """Whether an id gets a known answer in the sandbox.

    >>> is_test("test_decline_17"), is_test("test_17"), is_test("a_test_decline")
    (True, False, False)
    """
    return transaction_id.startswith(_PREFIXES)


def _no_record() -> UnknownTransaction:
    return UnknownTransaction(
        "A test of the sandbox leaves no record.", "Ask for a payment with another id.", "transaction_id"
    )


def _script_of(transaction_id: str) -> tuple[str, Script]:
    return next(found for found in SCRIPTS.items() if transaction_id.startswith(found[0]))


def scored_test(payment: Payment, opened: Opened) -> Scored:
    """The answer to a test, with the names of the bundle that is served.

    Raises: Overloaded for `test_503`.
    """
    name, script = _script_of(payment.transaction_id)
    if name == "test_503":
        raise Overloaded("The transaction id asks for this refusal.", "Apply your own default, or retry in a second.")
    decision: str | None = script.decision
    reasons: tuple[Reason, ...] = (_ASKED_FOR,)
    if decision is None:
        evaluation = opened.evaluator.evaluate(payment, None, None, explain=False)
        decision, reasons = evaluation.decision.word, evaluation.reasons
    answer = SandboxAnswer(
        transaction_id=payment.transaction_id,
        decision=decision,
        score=script.score,
        reasons=() if decision == "approve" else reasons,
        rules=(),
        tier=script.tier,
        missing=script.missing,
        warnings=payment.warnings,
        model=opened.bundle.model_name,
        policy=opened.evaluator.policy.digest,
        features=opened.catalogue.contract().hash,
        receipt_id=None,
    )
    return Scored(_encode(answer), False, None, decision, script.tier, test=True)


class SandboxEngine:
    """An engine that answers tests itself."""

    def __init__(self, engine: Engine, opened: Opened) -> None:
        self._engine, self._opened = engine, opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def answer(self, payment: Payment, started_ns: int, **asked: Any) -> Scored:
        """See `Engine.answer`."""
        if not is_test(payment.transaction_id):
            return await self._engine.answer(payment, started_ns, **asked)
        await asyncio.sleep(_script_of(payment.transaction_id)[1].seconds)
        return scored_test(payment, self._opened)

    def begin_by_amount(self, payment: Payment, started_ns: int, on_scored: OnScored) -> bool:
        """See `ServerEngine.begin_by_amount`; only an engine with a server has it."""
        begin = getattr(self._engine, "begin_by_amount", None)
        if begin is None or is_test(payment.transaction_id):
            return False
        return bool(begin(payment, started_ns, on_scored))

    async def dry_run(self, payment: Payment) -> Scored:
        """See `Engine.dry_run`."""
        return (
            scored_test(payment, self._opened)
            if is_test(payment.transaction_id)
            else await self._engine.dry_run(payment)
        )

    async def payment_event(self, transaction_id: str) -> Event | None:
        """See `Engine.payment_event`."""
        if is_test(transaction_id):
            raise _no_record()
        return await self._engine.payment_event(transaction_id)


class SandboxFeedback:
    """Takes reports, and answers those about tests itself."""

    def __init__(self, feedback: Feedback) -> None:
        self._feedback = feedback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._feedback, name)

    async def take_outcome(self, report: OutcomeReport) -> FeedbackResult:
        """See `Feedback.take_outcome`."""
        if is_test(report.transaction_id):
            return FeedbackResult(SandboxOutcome(report.transaction_id, report.outcome, "applied"), False)
        return await self._feedback.take_outcome(report)

    async def take_label(self, report: LabelReport) -> FeedbackResult:
        """See `Feedback.take_label`."""
        if is_test(report.transaction_id):
            effective = None if report.label == RETRACTED else report.label
            return FeedbackResult(SandboxLabel(report.transaction_id, report.label, "applied", effective), False)
        return await self._feedback.take_label(report)

    async def known(self, transaction_id: str) -> KnownPayment | None:
        """See `Feedback.known`.

        Raises: UnknownTransaction for a test.
        """
        if is_test(transaction_id):
            raise _no_record()
        return await self._feedback.known(transaction_id)


class SandboxRuntime:
    """A runtime with a sandbox in front of its engine and its feedback."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    @property
    def stopping(self) -> bool:
        """See `Runtime.stopping`."""
        return self._runtime.stopping

    @stopping.setter
    def stopping(self, stopping: bool) -> None:
        self._runtime.stopping = stopping

    @property
    def engine(self) -> Engine | None:
        """See `Runtime.engine`."""
        engine = self._runtime.engine
        return None if engine is None else cast(Engine, SandboxEngine(engine, self._runtime.opened))

    @property
    def feedback(self) -> Feedback | None:
        """See `Runtime.feedback`."""
        feedback = self._runtime.feedback
        return None if feedback is None else cast(Feedback, SandboxFeedback(feedback))


def with_sandbox(runtime: Runtime) -> Runtime:
    """The runtime with the sandbox in front of it; whatever else is asked of it goes on to the runtime."""
    return cast(Runtime, SandboxRuntime(runtime))
