"""The way of one payment through the service (DESIGN §8), synchronous up to the ledger's future.

Reading the state, folding the payment in and queueing its event happen in one turn of the event loop
without an await between them: so each payment sees exactly the events that stand before it in the
ledger. The answer leaves only when the event is in the file.
"""

from __future__ import annotations

import logging
import time
from asyncio import Future
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.catalog import Catalog
from features.errors import Problem, Refused
from features.intake import payment_json
from features.payment import Payment
from serving import receipt as receipts
from serving.clock import WINDOW_MS, Clock
from serving.decision import Decision
from serving.errors import Conflict
from serving.fold import Fold
from serving.judge import DEFAULT, FULL, RULES_ONLY, STALE, Judge, Judgement
from serving.ledger import CaseRow, Ledger, LedgerError
from serving.receipt import Answer, Receipt
from serving.ulid import ulid

log = logging.getLogger("riskgate.engine")

Vector = npt.NDArray[np.float64]

#: Answers kept in memory for retries, which mostly come within seconds; older ones are read from the ledger.
RECENT_ANSWERS = 20_000
#: Kept back from the deadline for recording and replying (at most a fifth of it).
RESERVE_NS = 1_000_000
#: What exact contributions may take; nearer to the deadline than that, rules alone explain.
EXPLAIN_NS = 2_000_000


class Scored(NamedTuple):
    """An answer, and the future to await before it may be sent (None: it is already recorded)."""

    answer: bytes
    replayed: bool
    recorded: Future[None] | None
    decision: str
    tier: str


class Known(NamedTuple):
    """What is remembered of a scored payment to answer its retries."""

    content: bytes
    answer: bytes
    recorded: Future[None] | None


class Engine:
    """Scores payments against one bundle, one state and one ledger; single-threaded by design."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        fold: Fold,
        judge: Judge,
        ledger: Ledger,
        clock: Clock,
        code: str,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.catalog = catalog
        self.fold = fold
        self.judge = judge
        self.ledger = ledger
        self.clock = clock
        self.model = judge.bundle.model_name
        self.bundle_digest = judge.bundle.digest
        self.policy_digest = judge.policy.digest
        self.features_hash = catalog.contract().hash
        self.code = code
        self.now_ns = now_ns
        self.ledger_works = True
        self._recent: OrderedDict[str, Known] = OrderedDict()

    # -- the two ways in -----------------------------------------------------------------------

    def score(self, payment: Payment, started_ns: int, *, explain_approved: bool = False) -> Scored:
        """Score and record one payment; the caller awaits `recorded` before it sends the answer.

        Raises: Refused for an event time outside the clock's window, Conflict for a known id with other
        content.
        """
        content = payment_json(payment)
        known = self._known(payment.transaction_id)
        if known is not None:
            return self._again(payment, content, known)
        self._check_time(payment)
        if not self.ledger_works:
            return self.unrecorded(payment)
        arrival_ms = time.time_ns() // 1_000_000
        deadline_ns = started_ns + payment.deadline_ms * 1_000_000
        deadline_ns -= min(RESERVE_NS, payment.deadline_ms * 200_000)
        begin_ns = self.now_ns()

        vector, tier, missing, folded = self._read_and_fold(payment, begin_ns < deadline_ns)
        state = self.fold.state
        seen = state.last_seen() if folded else state.events_seen(payment)
        read_ns = self.now_ns()
        scored = None
        if vector is not None:
            if read_ns < deadline_ns:
                scored = self._score(vector)
            if scored is None:
                tier, missing = RULES_ONLY, (*missing, "model")
        scored_ns = self.now_ns()
        explain = scored_ns + EXPLAIN_NS < deadline_ns
        try:
            judgement = self.judge.judge(payment, vector, scored, explain=explain, explain_approved=explain_approved)
        except Exception:  # the payment is part of the state by now: it must get a decision and a receipt
            log.exception("the payment could not be judged")
            tier, missing, scored = DEFAULT, ("features", "model"), None
            judgement = self.judge.judge(payment, None, None, explain=False)
        if scored is not None and not explain and (judgement.decision is not Decision.APPROVE or explain_approved):
            missing = (*missing, "contributions")
        receipt_id = ulid(arrival_ms)
        answer = receipts.encode_answer(self._answer(payment, judgement, tier, missing, receipt_id))
        done_ns = self.now_ns()
        receipt = Receipt(
            receipt_id=receipt_id,
            tier=tier,
            missing=missing,
            vector=None if vector is None else vector.tobytes(),
            seen=tuple(seen),
            margin=judgement.margin,
            score=judgement.score,
            explained=explain,
            explain_approved=explain_approved,
            folded=folded,
            bundle=self.bundle_digest,
            policy=self.policy_digest,
            features=self.features_hash,
            code=self.code,
            event_time_ms=payment.event_time_ms,
            arrival_time_ms=arrival_ms,
            timings_us={
                "wait": (begin_ns - started_ns) // 1000,
                "features": (read_ns - begin_ns) // 1000,
                "model": (scored_ns - read_ns) // 1000,
                "decision": (done_ns - scored_ns) // 1000,
            },
        )
        self.clock.advance(payment.event_time_ms)
        recorded = self.ledger.append(
            "payment",
            payment.transaction_id,
            payment.event_time_ms,
            arrival_ms,
            receipts.encode_body(content, receipt, answer),
            _case(payment, judgement, arrival_ms),
        )
        self._remember(payment.transaction_id, Known(content, answer, recorded))
        return Scored(answer, False, recorded, judgement.decision.word, tier)

    def try_out(self, payment: Payment) -> Scored:
        """Decide and explain as if now, with nothing recorded and nothing counted (`?dry_run=1`).

        Raises: Refused for an event time outside the clock's window.
        """
        self._check_time(payment)
        vector = self.fold.state.observe(payment, self.fold.profiles)
        judgement = self.judge.judge(payment, vector, self.judge.score(vector), explain=True, explain_approved=True)
        answer = receipts.encode_answer(self._answer(payment, judgement, FULL, (), None))
        return Scored(answer, False, None, judgement.decision.word, FULL)

    def unrecorded(self, payment: Payment) -> Scored:
        """The decision when nothing can be recorded: by amount band, without a receipt (law 4)."""
        judgement = self.judge.judge(payment, None, None, explain=False)
        answer = receipts.encode_answer(self._answer(payment, judgement, DEFAULT, ("ledger",), None))
        return Scored(answer, False, None, judgement.decision.word, DEFAULT)

    def ledger_failed(self, payment: Payment, error: LedgerError) -> Scored:
        """Answer a payment whose event could not be written; the state is rebuilt once writing works again."""
        if self.ledger_works:
            log.error("the ledger cannot be written: %s. Payments get the policy's default decision.", error)
        self.ledger_works = False
        self._recent.clear()
        return self.unrecorded(payment)

    def ledger_restored(self, fold: Fold) -> None:
        """Go on with a state that was folded anew from the ledger."""
        self.fold = fold
        self.ledger_works = True

    # -- the steps -----------------------------------------------------------------------------

    def _known(self, transaction_id: str) -> Known | None:
        known = self._recent.get(transaction_id)
        if known is not None:
            return known
        event = self.ledger.payment(transaction_id)
        if event is None:
            return None
        body = receipts.decode_body(event.body)
        return Known(bytes(body.payment), bytes(body.answer), None)

    def _again(self, payment: Payment, content: bytes, known: Known) -> Scored:
        if known.content != content:
            raise Conflict(
                f"Transaction `{payment.transaction_id}` was scored with other content.",
                "Send the same content again for the same answer, or a new transaction_id.",
                "transaction_id",
            )
        answer = receipts.decode_answer(known.answer)
        return Scored(known.answer, True, known.recorded, answer.decision, answer.tier)

    def _remember(self, transaction_id: str, known: Known) -> None:
        self._recent[transaction_id] = known
        if len(self._recent) > RECENT_ANSWERS:
            self._recent.popitem(last=False)

    def _check_time(self, payment: Payment) -> None:
        if not self.clock.accepts(payment.event_time_ms):
            raise Refused(
                [
                    Problem(
                        code="time_outside_window",
                        message="event_time is further than five minutes from the service's clock.",
                        field="event_time",
                        repair=f"Send a payment when it happens (within {WINDOW_MS // 60_000} minutes), or "
                        "run the service with the replay clock.",
                    )
                ]
            )
        segment = self.fold.segment
        if segment is not None and payment.transaction_id in segment:
            raise Conflict(
                f"Transaction `{payment.transaction_id}` is part of the imported history.",
                "Send a new transaction_id.",
                "transaction_id",
            )

    def _read_and_fold(self, payment: Payment, in_time: bool) -> tuple[Vector | None, str, tuple[str, ...], bool]:
        """(vector, tier, missing, folded): the payment always enters the state, even past its deadline."""
        state, profiles = self.fold.state, self.fold.profiles
        if not in_time:
            state.apply(payment)
            return None, DEFAULT, ("features", "model"), True
        try:
            return state.observe_and_apply(payment, profiles), FULL, (), True
        except Exception:  # law 4: whatever breaks, a valid request gets a decision
            log.exception("features could not be read with profiles")
        try:
            # Profiles are looked at before the kernel touches anything, so the payment is folded in once.
            return state.observe_and_apply(payment, None), STALE, ("profiles",), True
        except Exception:
            log.exception("features could not be read")
            return None, DEFAULT, ("features", "model"), False

    def _score(self, vector: Vector) -> tuple[float, float] | None:
        try:
            return self.judge.score(vector)
        except Exception:  # law 4 again: rules answer when the model cannot
            log.exception("the model could not score")
            return None

    def _answer(
        self,
        payment: Payment,
        judgement: Judgement,
        tier: str,
        missing: tuple[str, ...],
        receipt_id: str | None,
    ) -> Answer:
        return Answer(
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


def _case(payment: Payment, judgement: Judgement, arrival_ms: int) -> CaseRow | None:
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
    )
