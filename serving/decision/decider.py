"""From what is known of a payment to its answer: judgement, receipt, answer and case; no storage, no waiting.

The engines differ in how they come by the features and where they write; what is decided from the
features, and what the receipt says of it, is the same code for all of them.
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
from serving.decision.evaluator import DEFAULT, RULES_ONLY, Judge, Judgement
from serving.decision.exposure import Exposure
from serving.decision.receipt import Answer, Receipt
from serving.decision.ulid import ulid
from serving.decision.vector_codec import vector_bytes

log = logging.getLogger("riskgate.engine")

Vector = npt.NDArray[np.float64]

#: Kept back from the deadline for recording and replying (at most a fifth of it).
RESERVE_NS = 1_000_000
#: What exact contributions may take; nearer to the deadline than that, rules alone explain.
EXPLAIN_NS = 500_000


class Deciding:
    """What every engine has in common: a decider of one catalogue, that another bundle may succeed."""

    catalogue: Catalogue
    decider: Decider

    @property
    def judge(self) -> Judge:
        """The bundle that decides."""
        return self.decider.judge

    @property
    def late(self) -> bool:
        """Whether payments wait for a server longer than they should."""
        return False

    @property
    def trip_ns(self) -> int:
        """How long a trip to that server takes when nothing holds it up, ns; 0 where there is none."""
        return 0

    def succeed(self, judge: Judge) -> None:
        """Let another bundle of the same catalogue decide from the next payment on."""
        self.decider = self.decider.successor(judge, self.catalogue)


class Reading(msgspec.Struct, frozen=True):
    """What was read of a payment's past: its features (or None), how complete they are, and what is missing.

    `seen` is how many events the state of each entity had folded, -1 = not sent; `folded` whether the
    payment entered the state; `profile_row` how far the profile file was read, -1 = up to the events before it.
    """

    vector: Vector | None
    tier: str
    missing: tuple[str, ...]
    folded: bool
    seen: tuple[int, ...]
    profile_row: int = -1


class Moments(msgspec.Struct, frozen=True, gc=False):
    """When things happened: monotonic ns but for the arrival, ms UTC; `deadline_ns` is the caller's less a reserve."""

    started_ns: int
    begin_ns: int
    read_ns: int
    deadline_ns: int
    arrival_ms: int


class Decided(msgspec.Struct, frozen=True):
    """One decision with all that is recorded of it; `answer` is the bytes that are sent."""

    judgement: Judgement
    tier: str
    receipt: Receipt
    answer: bytes
    case: CaseRow | None


def deadline_of(payment: Payment, started_ns: int) -> int:
    """The monotonic moment, ns, at which deciding must be done so that the answer leaves in time."""
    return started_ns + payment.deadline_ms * 1_000_000 - min(RESERVE_NS, payment.deadline_ms * 200_000)


class Decider:
    """A bundle that judges, and the names that stand in its receipts."""

    def __init__(
        self,
        judge: Judge,
        catalogue: Catalogue,
        code: str,
        exposure: Exposure | None = None,
        breakers: Breakers | None = None,
        notice: Callable[[Decided], None] | None = None,
    ) -> None:
        policy = judge.policy
        self.judge = judge
        self.notice = notice  # told of each decision; cheap, and must not raise
        self.exposure = exposure or Exposure()
        self.breakers = breakers or breakers_of(policy)
        self.model = judge.bundle.model_name
        self.bundle_digest = judge.bundle.digest
        self.policy_digest = judge.policy.digest
        self.features_hash = catalogue.contract().hash
        self.code = code

    def successor(self, judge: Judge, catalogue: Catalogue) -> Decider:
        """Another bundle of the same catalogue in this one's place; what was approved this minute stays counted."""
        return Decider(judge, catalogue, self.code, self.exposure, self.breakers.after(judge.policy), self.notice)

    def decide(
        self,
        payment: Payment,
        reading: Reading,
        moments: Moments,
        now_ns: Callable[[], int],
        *,
        explain_approved: bool = False,
    ) -> Decided:
        """Score and judge what was read; whatever breaks on the way, there is a decision and a receipt."""
        vector, tier, missing = reading.vector, reading.tier, reading.missing
        shed = tier == RULES_ONLY
        scored = None
        if shed:
            missing = (*missing, "model")
        elif vector is not None:
            if moments.read_ns < moments.deadline_ns:
                scored = self._score(vector)
            if scored is None:
                tier, missing = RULES_ONLY, (*missing, "model")
        scored_ns = now_ns()
        explain = scored_ns + EXPLAIN_NS < moments.deadline_ns
        spent_minor = 0 if scored is not None else self._spent(payment, moments.arrival_ms)
        open_breakers = self.breakers.open
        try:
            judgement = self.judge.judge(
                payment,
                vector,
                scored,
                explain=explain,
                explain_approved=explain_approved,
                spent_minor=spent_minor,
                open_breakers=open_breakers,
            )
        except Exception:  # the payment is part of the state by now: it must get a decision and a receipt
            log.exception("the payment could not be judged")
            tier, missing, scored = DEFAULT, ("features", "model"), None
            spent_minor = self._spent(payment, moments.arrival_ms)
            judgement = self.judge.judge(payment, None, None, explain=False, spent_minor=spent_minor)
        if judgement.exposed_minor:
            self.exposure.add(moments.arrival_ms, judgement.exposed_minor)
        self.breakers.observe(moments.arrival_ms, judgement.declining, payment)
        if judgement.softened:
            missing = (*missing, *judgement.softened_by)
        if scored is not None and not explain and (judgement.decision is not Decision.APPROVE or explain_approved):
            missing = (*missing, "contributions")
        receipt_id = ulid(moments.arrival_ms)
        answer = self._answer(payment, judgement, tier, missing, receipt_id)
        done_ns = now_ns()
        receipt = Receipt(
            receipt_id=receipt_id,
            tier=tier,
            missing=missing,
            # Shed work must be cheap: what the rules looked at is computed again by `verify`, not kept.
            vector=None if vector is None or shed else vector_bytes(vector),
            seen=reading.seen,
            margin=judgement.margin,
            score=judgement.score,
            explained=explain,
            explain_approved=explain_approved,
            folded=reading.folded,
            bundle=self.bundle_digest,
            policy=self.policy_digest,
            features=self.features_hash,
            code=self.code,
            event_time_ms=payment.event_time_ms,
            arrival_time_ms=moments.arrival_ms,
            timings_us={
                "wait": (moments.begin_ns - moments.started_ns) // 1000,
                "features": (moments.read_ns - moments.begin_ns) // 1000,
                "model": (scored_ns - moments.read_ns) // 1000,
                "decision": (done_ns - scored_ns) // 1000,
            },
            spent_minor=spent_minor,
            breakers=open_breakers,
            profile_row=reading.profile_row,
        )
        decided = Decided(judgement, tier, receipt, answer, self._case(payment, judgement, moments.arrival_ms))
        if self.notice is not None:
            self.notice(decided)
        return decided

    def try_out(self, payment: Payment, reading: Reading) -> tuple[Judgement, bytes]:
        """Decide and explain with nothing to record: no receipt."""
        vector = reading.vector
        scored = None if vector is None else self.judge.score(vector)
        judgement = self.judge.judge(
            payment, vector, scored, explain=True, explain_approved=True, open_breakers=self.breakers.open
        )
        missing = (*reading.missing, *judgement.softened_by)
        return judgement, self._answer(payment, judgement, reading.tier, missing, None)

    def by_amount(self, payment: Payment, missing: tuple[str, ...]) -> tuple[Judgement, bytes]:
        """The policy's default by amount band, without a receipt: when nothing can be recorded (law 4)."""
        now_ms = time.time_ns() // 1_000_000
        judgement = self.judge.judge(payment, None, None, explain=False, spent_minor=self._spent(payment, now_ms))
        self.exposure.add(now_ms, judgement.exposed_minor)
        return judgement, self._answer(payment, judgement, DEFAULT, missing, None)

    def _spent(self, payment: Payment, arrival_ms: int) -> int:
        return self.exposure.spent(arrival_ms, self.judge.reference_minor(payment))

    def _score(self, vector: Vector) -> tuple[float, float] | None:
        try:
            return self.judge.score(vector)
        except Exception:  # law 4 again: rules answer when the model cannot
            log.exception("the model could not score")
            return None

    def _answer(
        self, payment: Payment, judgement: Judgement, tier: str, missing: tuple[str, ...], receipt_id: str | None
    ) -> bytes:
        answer = Answer(
            payment.transaction_id,
            judgement.decision.word,
            judgement.score,
            judgement.reasons,
            judgement.rules,
            tier,
            missing,
            self.model,
            self.policy_digest,
            self.features_hash,
            receipt_id,
        )
        return receipts.encode_answer(answer)

    def _case(self, payment: Payment, judgement: Judgement, arrival_ms: int) -> CaseRow | None:
        if judgement.decision < Decision.REVIEW:
            return None
        return CaseRow(
            payment.transaction_id,
            arrival_ms,
            judgement.decision.word,
            judgement.score,
            payment.amount_minor,
            payment.currency,
            payment.payer_id,
            payment.device_id,
            payment.payee_id,
            at_risk_minor(judgement.score, self.judge.reference_minor(payment)),
        )
