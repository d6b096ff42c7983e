"""Decides and records one payment in one process: synchronous until the event waits for its commit.

Reading the state, folding the payment in and queueing its event happen in one turn of the event loop without an await
between them: so each payment sees exactly the events before it in the ledger. The answer leaves only when the event is
in the file.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Container

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.intake.parse import payment_json
from serving.decision import receipt as receipts
from serving.decision.clock import Clock
from serving.decision.decider import Decided, Decider, FeatureReading, Timings, deadline_of
from serving.decision.evaluator import DEFAULT, FULL, STALE, Evaluator
from serving.decision.rules import Lists
from serving.engine.retry_identity import content_digest, differs, fields_that_differ, warned
from serving.engine.scored import Scored, in_imported_history, outside_window, taken_undecided
from serving.errors import Conflict, DamagedLedger, LedgerError
from serving.ledger.sqlite.commit_ticket import CommitTicket
from serving.ledger.sqlite.ledger import Event, Ledger, NotYetWritten
from serving.state.fold import Fold
from serving.state.foldable import UNFOLDABLE, reason_of

log = logging.getLogger("riskgate.engine")

#: Answers kept in memory for retries, which mostly come within seconds; older ones are read from the ledger.
RECENT_ANSWERS = 20_000


class RecentAnswer(msgspec.Struct, frozen=True, gc=False):
    """What a retry of a scored payment needs; thousands of them, so the garbage collector does not track them."""

    content: bytes
    answer: bytes
    ticket: CommitTicket | None


class EmbeddedEngine:
    """Scores payments against one bundle, one state and one ledger; single-threaded by design."""

    #: There is no server to wait for.
    late = False
    trip_ns = 0

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        fold: Fold,
        evaluator: Evaluator,
        ledger: Ledger,
        clock: Clock,
        code: str,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        notice: Callable[[Decided], None] | None = None,
        lists: Lists | None = None,
    ) -> None:
        #: Transactions whose reports came before their payment, and what applies these once it is recorded.
        self.waiting: Container[str] = ()
        self.on_known: Callable[[str], None] = lambda _: None
        self.catalogue = catalogue
        self.fold = fold
        self.decider = Decider(evaluator, catalogue, code, notice=notice, lists=lists)
        self.ledger = ledger
        self.clock = clock
        self.now_ns = now_ns
        self.ledger_works = True
        self._recent: OrderedDict[str, RecentAnswer] = OrderedDict()

    # -- calls -----------------------------------------------------------------------------

    async def answer(
        self, payment: Payment, started_ns: int, *, explain_approved: bool = False, best_tier: str = FULL
    ) -> Scored:
        """See `Engine.answer`."""
        scored = self.score(payment, started_ns, explain_approved=explain_approved, best_tier=best_tier)
        if scored.ticket is not None:
            try:
                await scored.ticket
            except LedgerError as error:
                return self.ledger_failed(payment, error)
            except NotYetWritten:
                return self.without_receipt(scored)
        return scored

    def score(
        self, payment: Payment, started_ns: int, *, explain_approved: bool = False, best_tier: str = FULL
    ) -> Scored:
        """Score one payment, at `best_tier` or a lower tier, and queue its event.

        The caller awaits `ticket` before it sends the answer.
        Raises: Refused for an event time outside the clock's window, Conflict for a known id with other content.
        """
        content = payment_json(payment)
        try:
            known = self._earlier_answer(payment.transaction_id)
        except DamagedLedger as error:
            # A page is damaged that holds, or would hold, this id: the other payments are recorded as before.
            log.error("the ledger cannot be read for a payment: %s", error)
            return self.without_ledger(payment)
        except LedgerError as error:
            return self.ledger_failed(payment, error)
        except Conflict:
            raise
        except UNFOLDABLE as error:
            # Its id is taken in the ledger, so no other event can be recorded under it.
            log.error("the ledger's event of a repeated payment cannot be read: %s", reason_of(error))
            return self.without_ledger(payment)
        if known is not None:
            return self._replay(payment, content, known)
        self._check_time(payment)
        if not self.ledger_works:
            return self.without_ledger(payment)
        arrival_ms = self.decider.wall_ns() // 1_000_000
        deadline_ns = deadline_of(payment, started_ns)
        begin_ns = self.now_ns()
        reading = self._read_and_fold(payment, best_tier if begin_ns < deadline_ns else DEFAULT)
        timings = Timings(started_ns, begin_ns, self.now_ns(), deadline_ns, arrival_ms)
        try:
            decided = self.decider.decide(payment, reading, timings, self.now_ns, explain_approved=explain_approved)
            body = receipts.encode_body(content, decided.receipt, decided.answer)
        except Exception:  # the state must not keep a payment that no event will record
            return self._decision_failed(payment, reading)
        self.clock.advance(payment.event_time_ms)
        ticket = self.ledger.append(
            "payment", payment.transaction_id, payment.event_time_ms, arrival_ms, body, decided.case
        )
        self._remember(payment.transaction_id, RecentAnswer(content, decided.answer, ticket))
        if payment.transaction_id in self.waiting:
            self.on_known(payment.transaction_id)
        word = decided.evaluation.decision.word
        return Scored(decided.answer, False, ticket, word, decided.tier, decided.receipt.timings_us)

    async def dry_run(self, payment: Payment) -> Scored:
        """See `Engine.dry_run`."""
        self._check_time(payment)
        vector = self.fold.state.observe(payment, self.fold.profiles)
        evaluation, answer = self.decider.try_out(payment, FeatureReading(vector, FULL, (), False, ()))
        return Scored(answer, False, None, evaluation.decision.word, FULL)

    async def payment_event(self, transaction_id: str) -> Event | None:
        """See `Engine.payment_event`."""
        self.ledger.flush()
        event = self.ledger.payment(transaction_id)
        return None if event is None or event.body.endswith(receipts.UNDECIDED) else event

    def without_ledger(self, payment: Payment) -> Scored:
        """The decision when nothing can be recorded: by amount band, without a receipt."""
        evaluation, answer = self.decider.by_amount(payment, ("ledger",))
        return Scored(answer, False, None, evaluation.decision.word, DEFAULT)

    def without_receipt(self, scored: Scored) -> Scored:
        """The same decision without a receipt, for an event that is queued and not written before the deadline."""
        answer = receipts.decode_answer(scored.answer)
        answer = msgspec.structs.replace(answer, receipt_id=None, missing=(*answer.missing, "ledger"))
        return msgspec.structs.replace(scored, answer=receipts.encode_answer(answer), ticket=None)

    def ledger_failed(self, payment: Payment, error: LedgerError) -> Scored:
        """Answer a payment whose event could not be written; the state is rebuilt once writing works again."""
        if self.ledger_works:
            log.error("the ledger cannot be written: %s. Payments get the policy's default decision.", error)
        self.ledger_works = False
        self._recent.clear()
        return self.without_ledger(payment)

    def _decision_failed(self, payment: Payment, reading: FeatureReading) -> Scored:
        """Answer a payment that could not be decided; if it entered the state, the state is folded again."""
        log.exception("the payment could not be decided")
        if reading.folded:
            with contextlib.suppress(LedgerError):
                self.ledger.flush()
            error = LedgerError("the state holds a payment that could not be decided")
            self.ledger.broken = self.ledger.broken or error
            return self.ledger_failed(payment, error)
        return self.without_ledger(payment)

    def ledger_restored(self, fold: Fold) -> None:
        """Resume with a state that was folded again from the ledger."""
        self.fold = fold
        self.ledger.resume_writes()
        self.ledger_works = True

    # -- the steps -----------------------------------------------------------------------------

    def _earlier_answer(self, transaction_id: str) -> RecentAnswer | None:
        known = self._recent.get(transaction_id)
        if known is not None:
            return known
        event = self.ledger.payment(transaction_id) if self.ledger.may_hold(transaction_id) else None
        if event is None:
            return None
        if event.body.endswith(receipts.UNDECIDED):
            raise taken_undecided(transaction_id)
        body = receipts.decode_body(event.body)
        receipts.decode_answer(body.answer)
        return RecentAnswer(bytes(body.payment), bytes(body.answer), None)

    def _replay(self, payment: Payment, content: bytes, known: RecentAnswer) -> Scored:
        sent = known.answer
        if known.content != content and differs(
            payment.transaction_id, content, content_digest(content), content_digest(known.content), sent, known.content
        ):
            sent = warned(sent, fields_that_differ(content, known.content))
        answer = receipts.decode_answer(sent)
        ticket = known.ticket
        if ticket is not None and isinstance(ticket.error(), NotYetWritten):
            if self.ledger.is_queued(payment.transaction_id):
                return self.without_receipt(Scored(sent, True, None, answer.decision, answer.tier))
            ticket = None
        return Scored(sent, True, ticket, answer.decision, answer.tier)

    def _remember(self, transaction_id: str, known: RecentAnswer) -> None:
        self._recent[transaction_id] = known
        if len(self._recent) > RECENT_ANSWERS:
            self._recent.popitem(last=False)

    def _check_time(self, payment: Payment) -> None:
        if not self.clock.accepts(payment.event_time_ms, late=payment.late):
            raise outside_window(payment, self.clock.now_ms())
        segment = self.fold.segment
        if segment is not None and payment.transaction_id in segment:
            raise in_imported_history(payment.transaction_id)

    def _read_and_fold(self, payment: Payment, best_tier: str) -> FeatureReading:
        """The features and what is missing of them; the payment enters the state even past its deadline."""
        state, profiles = self.fold.state, self.fold.profiles
        if best_tier == DEFAULT:
            try:
                state.apply(payment)
                return FeatureReading(None, DEFAULT, ("features", "model"), True, state.last_seen())
            except Exception:  # a valid request gets a decision; what raises has changed nothing
                log.exception("the payment could not be folded")
                return FeatureReading(None, DEFAULT, ("features", "model"), False, tuple(state.events_seen(payment)))
        try:
            vector = state.observe_and_apply(payment, profiles)
            return FeatureReading(vector, best_tier, (), True, state.last_seen())
        except Exception:  # whatever breaks, a valid request gets a decision
            log.exception("features could not be read with profiles")
        try:
            # Profiles are read before the kernel changes anything, so the payment is folded in once.
            vector = state.observe_and_apply(payment, None)
            return FeatureReading(
                vector, STALE if best_tier == FULL else best_tier, ("profiles",), True, state.last_seen()
            )
        except Exception:
            log.exception("features could not be read")
            return FeatureReading(None, DEFAULT, ("features", "model"), False, tuple(state.events_seen(payment)))
