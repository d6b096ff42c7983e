"""The way of one payment through the service (docs/design.md §8), synchronous up to the ledger's word.

Reading the state, folding the payment in and queueing its event happen in one turn of the event loop
without an await between them: so each payment sees exactly the events that stand before it in the
ledger. The answer leaves only when the event is in the file.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import Problem, Refused
from features.intake.parse import payment_json
from serving.decision import receipt as receipts
from serving.decision.clock import WINDOW_MS, Clock
from serving.decision.decider import Decided, Decider, Deciding, Moments, Reading, deadline_of
from serving.decision.evaluator import DEFAULT, FULL, STALE, Judge
from serving.errors import Conflict, LedgerError
from serving.ledger.sqlite.commit_ticket import Recorded
from serving.ledger.sqlite.ledger import Event, Ledger, NotYetWritten
from serving.state.fold import Fold
from serving.state.foldable import UNFOLDABLE, reason_of

log = logging.getLogger("riskgate.engine")

#: Answers kept in memory for retries, which mostly come within seconds; older ones are read from the ledger.
RECENT_ANSWERS = 20_000


class Scored(msgspec.Struct, frozen=True):
    """An answer, and the word to await before it may be sent (None: it is already recorded)."""

    answer: bytes
    replayed: bool
    recorded: Recorded | None
    decision: str
    tier: str


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a scored payment to answer its retries; thousands of them, none for the collector."""

    content: bytes
    answer: bytes
    recorded: Recorded | None


class Engine(Deciding):
    """Scores payments against one bundle, one state and one ledger; single-threaded by design."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        fold: Fold,
        judge: Judge,
        ledger: Ledger,
        clock: Clock,
        code: str,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        notice: Callable[[Decided], None] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.fold = fold
        self.decider = Decider(judge, catalogue, code, notice=notice)
        self.ledger = ledger
        self.clock = clock
        self.now_ns = now_ns
        self.ledger_works = True
        self._recent: OrderedDict[str, Known] = OrderedDict()

    # -- the ways in -----------------------------------------------------------------------

    async def answer(
        self, payment: Payment, started_ns: int, *, explain_approved: bool = False, most: str = FULL
    ) -> Scored:
        """Score and record one payment, at tier `most` or a lower one; the answer may be sent.

        Raises: Refused for an event time outside the clock's window, Conflict for a known id with other
        content.
        """
        scored = self.score(payment, started_ns, explain_approved=explain_approved, most=most)
        if scored.recorded is not None:
            try:
                await scored.recorded
            except LedgerError as error:
                return self.ledger_failed(payment, error)
            except NotYetWritten:
                return self.not_yet(scored)
        return scored

    def score(self, payment: Payment, started_ns: int, *, explain_approved: bool = False, most: str = FULL) -> Scored:
        """Score and record one payment, at tier `most` or a lower one.

        The caller awaits `recorded` before it sends the answer.

        Raises: Refused for an event time outside the clock's window, Conflict for a known id with other
        content.
        """
        content = payment_json(payment)
        try:
            known = self._known(payment.transaction_id)
        except LedgerError as error:
            return self.ledger_failed(payment, error)
        except UNFOLDABLE as error:
            # Its id is taken in the ledger, so nothing more can be recorded under it.
            log.error("the event of a payment that is sent again cannot be read: %s", reason_of(error))
            return self.unrecorded(payment)
        if known is not None:
            return self._again(payment, content, known)
        self._check_time(payment)
        if not self.ledger_works:
            return self.unrecorded(payment)
        arrival_ms = time.time_ns() // 1_000_000
        deadline_ns = deadline_of(payment, started_ns)
        begin_ns = self.now_ns()
        reading = self._read_and_fold(payment, most if begin_ns < deadline_ns else DEFAULT)
        moments = Moments(started_ns, begin_ns, self.now_ns(), deadline_ns, arrival_ms)
        try:
            decided = self.decider.decide(payment, reading, moments, self.now_ns, explain_approved=explain_approved)
            body = receipts.encode_body(content, decided.receipt, decided.answer)
        except Exception:  # law 2: the state must not keep what no event will say
            return self._undecided(payment, reading)
        self.clock.advance(payment.event_time_ms)
        recorded = self.ledger.append(
            "payment", payment.transaction_id, payment.event_time_ms, arrival_ms, body, decided.case
        )
        self._remember(payment.transaction_id, Known(content, decided.answer, recorded))
        return Scored(decided.answer, False, recorded, decided.judgement.decision.word, decided.tier)

    async def try_out(self, payment: Payment) -> Scored:
        """Decide and explain as if now, with nothing recorded and nothing counted (`?dry_run=1`).

        Raises: Refused for an event time outside the clock's window.
        """
        self._check_time(payment)
        vector = self.fold.state.observe(payment, self.fold.profiles)
        judgement, answer = self.decider.try_out(payment, Reading(vector, FULL, (), False, ()))
        return Scored(answer, False, None, judgement.decision.word, FULL)

    async def recorded(self, transaction_id: str) -> Event | None:
        """The `payment` event of that transaction, or None."""
        self.ledger.flush()
        return self.ledger.payment(transaction_id)

    def unrecorded(self, payment: Payment) -> Scored:
        """The decision when nothing can be recorded: by amount band, without a receipt (law 4)."""
        judgement, answer = self.decider.by_amount(payment, ("ledger",))
        return Scored(answer, False, None, judgement.decision.word, DEFAULT)

    def not_yet(self, scored: Scored) -> Scored:
        """The decision as made, without its receipt: it is queued, and its deadline does not wait for the ledger."""
        answer = receipts.decode_answer(scored.answer)
        told = msgspec.structs.replace(answer, receipt_id=None, missing=(*answer.missing, "ledger"))
        return msgspec.structs.replace(scored, answer=receipts.encode_answer(told), recorded=None)

    def ledger_failed(self, payment: Payment, error: LedgerError) -> Scored:
        """Answer a payment whose event could not be written; the state is rebuilt once writing works again."""
        if self.ledger_works:
            log.error("the ledger cannot be written: %s. Payments get the policy's default decision.", error)
        self.ledger_works = False
        self._recent.clear()
        return self.unrecorded(payment)

    def _undecided(self, payment: Payment, reading: Reading) -> Scored:
        """Answer a payment that the state took and no event will name: the state is folded again from the ledger."""
        log.exception("the payment could not be decided")
        if reading.folded:
            with contextlib.suppress(LedgerError):
                self.ledger.flush()
            error = LedgerError("the state holds a payment that could not be decided")
            self.ledger.broken = self.ledger.broken or error
            return self.ledger_failed(payment, error)
        return self.unrecorded(payment)

    def ledger_restored(self, fold: Fold) -> None:
        """Go on with a state that was folded anew from the ledger."""
        self.fold = fold
        self.ledger.mend()
        self.ledger_works = True

    # -- the steps -----------------------------------------------------------------------------

    def _known(self, transaction_id: str) -> Known | None:
        known = self._recent.get(transaction_id)
        if known is not None:
            return known
        event = self.ledger.payment(transaction_id) if self.ledger.may_hold(transaction_id) else None
        if event is None:
            return None
        body = receipts.decode_body(event.body)
        receipts.decode_answer(body.answer)
        return Known(bytes(body.payment), bytes(body.answer), None)

    def _again(self, payment: Payment, content: bytes, known: Known) -> Scored:
        if known.content != content:
            raise Conflict(
                f"Transaction `{payment.transaction_id}` was scored with other content.",
                "Send the same content again for the same answer, or a new transaction_id.",
                "transaction_id",
            )
        answer = receipts.decode_answer(known.answer)
        recorded = known.recorded
        if recorded is not None and isinstance(recorded.error(), NotYetWritten):
            if self.ledger.is_queued(payment.transaction_id):
                return self.not_yet(Scored(known.answer, True, None, answer.decision, answer.tier))
            recorded = None
        return Scored(known.answer, True, recorded, answer.decision, answer.tier)

    def _remember(self, transaction_id: str, known: Known) -> None:
        self._recent[transaction_id] = known
        if len(self._recent) > RECENT_ANSWERS:
            self._recent.popitem(last=False)

    def _check_time(self, payment: Payment) -> None:
        if not self.clock.accepts(payment.event_time_ms):
            raise outside_window()
        segment = self.fold.segment
        if segment is not None and payment.transaction_id in segment:
            raise in_imported_history(payment.transaction_id)

    def _read_and_fold(self, payment: Payment, most: str) -> Reading:
        """Features and what is missing of them: the payment always enters the state, even past its deadline."""
        state, profiles = self.fold.state, self.fold.profiles
        if most == DEFAULT:
            try:
                state.apply(payment)
                return Reading(None, DEFAULT, ("features", "model"), True, state.last_seen())
            except Exception:  # law 4, as below; what raises has changed nothing
                log.exception("the payment could not be folded")
                return Reading(None, DEFAULT, ("features", "model"), False, tuple(state.events_seen(payment)))
        try:
            vector = state.observe_and_apply(payment, profiles)
            return Reading(vector, most, (), True, state.last_seen())
        except Exception:  # law 4: whatever breaks, a valid request gets a decision
            log.exception("features could not be read with profiles")
        try:
            # Profiles are looked at before the kernel touches anything, so the payment is folded in once.
            vector = state.observe_and_apply(payment, None)
            return Reading(vector, STALE if most == FULL else most, ("profiles",), True, state.last_seen())
        except Exception:
            log.exception("features could not be read")
            return Reading(None, DEFAULT, ("features", "model"), False, tuple(state.events_seen(payment)))


def outside_window() -> Refused:
    """The refusal of a payment whose time is not the service's."""
    return Refused(
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


def in_imported_history(transaction_id: str) -> Conflict:
    """The refusal of a payment that the imported history holds already."""
    return Conflict(
        f"Transaction `{transaction_id}` is part of the imported history.",
        "Send a new transaction_id.",
        "transaction_id",
    )
