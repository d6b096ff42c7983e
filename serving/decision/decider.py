"""From the features of a payment to its evaluation, receipt, answer and case; no storage, no waiting.

The engines differ in where they read the features and where they write. The decision and the receipt are made by the
same code for all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from serving.decision import receipt as receipts
from serving.decision.breaker import Breakers, breakers_of
from serving.decision.case_row import CaseRow, at_risk_minor
from serving.decision.decision import Decision
from serving.decision.evaluator import DEFAULT, OF_BUNDLE, RULES_ONLY, Evaluation, Evaluator
from serving.decision.exposure import Exposure
from serving.decision.receipt import Answer, Receipt, new_receipt_id
from serving.decision.rules import Listed, Lists
from serving.decision.vector_codec import vector_bytes
from serving.tracing.request_trace import CURRENT

log = logging.getLogger("riskgate.engine")

Vector = npt.NDArray[np.float64]

#: Reserve for recording and replying before the deadline (at most a fifth of it).
RESERVE_NS = 1_000_000
#: Time for exact contributions; with less left before the deadline, only rules explain.
EXPLAIN_NS = 500_000


class FeatureReading(msgspec.Struct, frozen=True):
    """The features read for a payment (or None), their tier, and what is missing.

    `seen` is how many events the state of each entity had folded, -1 = not sent; `folded` whether the payment entered
    the state; `profile_row` how far the profile file was read, -1 = up to the events before the payment.
    """

    vector: Vector | None
    tier: str
    missing: tuple[str, ...]
    folded: bool
    seen: tuple[int, ...]
    profile_row: int = -1


class Timings(msgspec.Struct, frozen=True, gc=False):
    """Monotonic times in ns, and the arrival in ms UTC; `deadline_ns` is the caller's deadline less the reserve."""

    started_ns: int
    begin_ns: int
    read_ns: int
    deadline_ns: int
    arrival_ms: int


class Decided(msgspec.Struct, frozen=True):
    """One decision with everything that is recorded; `answer` is the bytes that are sent."""

    evaluation: Evaluation
    tier: str
    receipt: Receipt
    answer: bytes
    case: CaseRow | None


def deadline_of(payment: Payment, started_ns: int) -> int:
    """The monotonic time, ns, by which the decision must be made so that the answer leaves in time."""
    return started_ns + payment.deadline_ms * 1_000_000 - min(RESERVE_NS, payment.deadline_ms * 200_000)


class Decider:
    """An evaluator, the breakers and exposure around it, and the version names for its receipts."""

    def __init__(
        self,
        evaluator: Evaluator,
        catalogue: Catalogue,
        code: str,
        exposure: Exposure | None = None,
        breakers: Breakers | None = None,
        notice: Callable[[Decided], None] | None = None,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        lists: Lists | None = None,
    ) -> None:
        """`lists` are those in force; None: the bundle's own."""
        policy = evaluator.policy
        self.lists = lists
        self.evaluator = evaluator
        self.wall_ns = wall_ns  # UTC: the minute whose exposure a decision adds to
        self.notice = notice  # called with each decision; must be cheap and must not raise
        self.exposure = exposure or Exposure()
        self.exposure.limit(policy.lower_tier_exposure_per_minute_minor)
        self.breakers = breakers or breakers_of(policy)
        self.model = evaluator.bundle.model_name
        self.bundle_digest = evaluator.bundle.digest
        self.policy_digest = evaluator.policy.digest
        self.features_hash = catalogue.contract().hash
        self.code = code

    def successor(self, evaluator: Evaluator, catalogue: Catalogue) -> Decider:
        """The decider of the next payments, with another bundle of this catalogue; keeps exposure and baselines."""
        breakers = self.breakers.successor(evaluator.policy)
        return Decider(
            evaluator, catalogue, self.code, self.exposure, breakers, self.notice, wall_ns=self.wall_ns,
            lists=self.lists,
        )  # fmt: skip

    def decide(
        self,
        payment: Payment,
        reading: FeatureReading,
        timings: Timings,
        now_ns: Callable[[], int],
        *,
        explain_approved: bool = False,
    ) -> Decided:
        """Score and evaluate a payment; whatever fails, there is a decision and a receipt."""
        vector, tier, missing = reading.vector, reading.tier, reading.missing
        shed = tier == RULES_ONLY
        scored = None
        if shed:
            missing = (*missing, "model")
        elif vector is not None:
            if timings.read_ns < timings.deadline_ns:
                scored = self._score(vector)
            if scored is None:
                tier, missing = RULES_ONLY, (*missing, "model")
        scored_ns = now_ns()
        explain = scored_ns + EXPLAIN_NS < timings.deadline_ns
        spent_minor = 0 if scored is not None else self._spent(payment, timings.arrival_ms)
        open_breakers = self.breakers.open
        listed, lists_seq = self._listed(payment)
        try:
            evaluation = self.evaluator.evaluate(
                payment,
                vector,
                scored,
                explain=explain,
                explain_approved=explain_approved,
                spent_minor=spent_minor,
                open_breakers=open_breakers,
                listed=listed,
            )
        except Exception:  # the payment is already part of the state: it must get a decision and a receipt
            log.exception("the payment could not be evaluated")
            tier, missing, scored = DEFAULT, ("features", "model"), None
            spent_minor = self._spent(payment, timings.arrival_ms)
            evaluation = self.evaluator.evaluate(
                payment, None, None, explain=False, spent_minor=spent_minor, listed=listed
            )
        if evaluation.exposed_minor:
            self.exposure.add(timings.arrival_ms, evaluation.exposed_minor)
        self.breakers.observe(timings.arrival_ms, evaluation.declining, payment)
        if evaluation.softened:
            missing = (*missing, *evaluation.softened_by)
        if scored is not None and not explain and (evaluation.decision is not Decision.APPROVE or explain_approved):
            missing = (*missing, "contributions")
        receipt_id = new_receipt_id(timings.arrival_ms)
        answer = self._answer(payment, evaluation, tier, missing, receipt_id)
        done_ns = now_ns()
        request = CURRENT.get()
        timings_us = {
            "wait": (timings.begin_ns - timings.started_ns) // 1000,
            "features": (timings.read_ns - timings.begin_ns) // 1000,
            "model": (scored_ns - timings.read_ns) // 1000,
            "decision": (done_ns - scored_ns) // 1000,
        }
        # Shedding must be cheap: `verify` recomputes the vector that the rules read.
        packed = None if vector is None or shed else vector_bytes(vector)
        # By place: as keywords these values take 2 us.
        receipt = Receipt(
            receipt_id, tier, missing, packed, reading.seen, evaluation.margin, evaluation.score, explain,
            explain_approved, reading.folded, self.bundle_digest, self.policy_digest, self.features_hash, self.code,
            payment.event_time_ms, timings.arrival_ms, timings_us, spent_minor, open_breakers, reading.profile_row,
            payment.warnings, msgspec.UNSET if request is None or request.trace is None else request.trace.trace_id,
            lists_seq, "" if listed is None else listed.network,
        )  # fmt: skip
        decided = Decided(evaluation, tier, receipt, answer, self._case(payment, evaluation, timings.arrival_ms))
        if self.notice is not None:
            self.notice(decided)
        return decided

    def try_out(self, payment: Payment, reading: FeatureReading) -> tuple[Evaluation, bytes]:
        """Decide and explain without recording anything: no receipt."""
        vector = reading.vector
        scored = None if vector is None else self.evaluator.score(vector)
        evaluation = self.evaluator.evaluate(
            payment,
            vector,
            scored,
            explain=True,
            explain_approved=True,
            open_breakers=self.breakers.open,
            listed=self._listed(payment)[0],
        )
        missing = (*reading.missing, *evaluation.softened_by)
        return evaluation, self._answer(payment, evaluation, reading.tier, missing, None)

    def by_amount(self, payment: Payment, missing: tuple[str, ...]) -> tuple[Evaluation, bytes]:
        """The policy's default by amount band, without a receipt: when nothing can be recorded (law 4)."""
        now_ms = self.wall_ns() // 1_000_000
        evaluation = self.evaluator.evaluate(
            payment,
            None,
            None,
            explain=False,
            spent_minor=self._spent(payment, now_ms),
            listed=self._listed(payment)[0],
        )
        self.exposure.add(now_ms, evaluation.exposed_minor)
        return evaluation, self._answer(payment, evaluation, DEFAULT, missing, None)

    def _listed(self, payment: Payment) -> tuple[Listed | None, int]:
        """What the lists in force say of the payment, and the last event that they hold."""
        return (OF_BUNDLE, -1) if self.lists is None else (self.lists.find(payment), self.lists.seq)

    def _spent(self, payment: Payment, arrival_ms: int) -> int:
        return self.exposure.spent(arrival_ms, self.evaluator.limited_minor(payment))

    def _score(self, vector: Vector) -> tuple[float, float] | None:
        try:
            return self.evaluator.score(vector)
        except Exception:  # law 4: rules decide when the model cannot
            log.exception("the model could not score")
            return None

    def _answer(
        self, payment: Payment, evaluation: Evaluation, tier: str, missing: tuple[str, ...], receipt_id: str | None
    ) -> bytes:
        answer = Answer(
            transaction_id=payment.transaction_id,
            decision=evaluation.decision.word,
            score=evaluation.score,
            reasons=evaluation.reasons,
            rules=evaluation.rules,
            tier=tier,
            missing=missing,
            warnings=payment.warnings,
            model=self.model,
            policy=self.policy_digest,
            features=self.features_hash,
            receipt_id=receipt_id,
        )
        return receipts.encode_answer(answer)

    def _case(self, payment: Payment, evaluation: Evaluation, arrival_ms: int) -> CaseRow | None:
        if evaluation.decision < Decision.REVIEW:
            return None
        return CaseRow(
            payment.transaction_id,
            arrival_ms,
            evaluation.decision.word,
            evaluation.score,
            payment.amount_minor,
            payment.currency,
            payment.payer_id,
            payment.device_id,
            payment.payee_id,
            at_risk_minor(evaluation.score, self.evaluator.limited_minor(payment)),
        )
