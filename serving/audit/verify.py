"""Verifies a ledger: recomputes features from events, reruns model and policy, and compares bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import RiskgateError
from features.progress import progress
from features.state.profiles import NumberedProfiles
from serving.audit.verify_result import VerifyResult
from serving.decision import receipt as receipts
from serving.decision.decision import Decision
from serving.decision.evaluator import DEFAULT, OPEN_BREAKER, STALE, Evaluator
from serving.decision.receipt import Receipt
from serving.errors import BrokenReceipt, CannotStart
from serving.feedback.waiting import WaitingReports
from serving.ledger.completeness import missing_events
from serving.ledger.event_bodies import decode_promotion
from serving.ledger.hash_key import check_hash_key
from serving.ledger.incidents import incidents
from serving.ledger.open import opened
from serving.ledger.promotions import catalogue_at, promotions
from serving.ledger.reader import Event, LedgerReader
from serving.lists.history import ListHistory
from serving.model import bundle_archive
from serving.output import out
from serving.state.fold import Fold
from serving.state.foldable import CannotFold, PaymentStep, checked_step_of, reason_of
from serving.store_config import LedgerConfig

Advance = Callable[[int], None]

#: Fields of an answer that must be reproduced, in addition to the vector.
COMPARED = (
    "decision", "score", "reasons", "rules", "tier", "missing", "warnings", "model", "policy", "features", "receipt_id",
)  # fmt: skip


class Verification:
    """One pass over a ledger; folds the state with the same steps as the start of the service."""

    def __init__(self, ledger: LedgerReader, config: LedgerConfig, most_differences: int) -> None:
        self.ledger = ledger
        self.config = config
        self.most_differences = most_differences
        self.result = VerifyResult(differences=[], models=[])
        self._names = check_hash_key(ledger, config.hash_key)
        self._lists = ListHistory(ledger)
        self._incidents = incidents(ledger)
        self.result.incidents = len(self._incidents)
        self._evaluators: dict[tuple[str, str], Evaluator | RiskgateError] = {}
        self._fold: Fold | None = None
        self._waiting = WaitingReports()
        self._features = ""

    def step(self, event: Event) -> None:
        """Compare a payment event with its recomputation; fold any event."""
        assert self._fold is not None
        self.result.events += 1
        try:
            step = checked_step_of(event, self._catalogue)
        except CannotFold as error:
            self.result.set_aside.add(event, error.reason)
            return
        if not isinstance(step, PaymentStep):
            if event.kind == "promotion":
                self._restart_for(event)
            self._apply(event)
            self._waiting.fold(event)
            self.result.waiting = len(self._waiting)
            return
        if step.body is None:
            self._apply(event)
            self.result.undecided += 1
            return
        self.result.payments += 1
        found = self._compare(event, step.payment, step.body)
        if found and any(one.covers(event.arrival_time_ms) for one in self._incidents):
            self.result.declared += 1
        elif found:
            self.result.mismatches += 1
            if len(self.result.differences) < self.most_differences:
                listed = "; ".join(found)
                self.result.differences.append(f"event {event.seq}, transaction {event.transaction_id}: {listed}")

    def _apply(self, event: Event) -> None:
        assert self._fold is not None
        if not self._fold.apply(event):
            reasons = {one.seq: one.reason for one in self._fold.set_aside.named()}
            self.result.set_aside.add(event, reasons.get(event.seq, "see the first of them"))

    def start_with(self, catalogue: Catalogue) -> None:
        """Start with an empty state of this catalogue."""
        self._fold = Fold(catalogue, self.config.segments)
        self._fold.profiles = NumberedProfiles()
        self._features = catalogue.contract().hash

    def _restart_for(self, event: Event) -> None:
        """If the promotion changes the catalogue, fold the past again with it, like the start of the service."""
        promotion = decode_promotion(event.body)
        if promotion.features == self._features:
            return
        self.start_with(catalogue_at(promotion, self.config.bundles))
        assert self._fold is not None
        for earlier in self.ledger.walk():
            if earlier.seq >= event.seq:
                break
            self._fold.apply(earlier)

    def _compare(self, event: Event, payment: Payment, body: receipts.Body) -> list[str]:
        assert self._fold is not None
        receipt = body.receipt
        evaluator = self._evaluator(receipt)
        if isinstance(evaluator, RiskgateError):
            self._fold.apply(event)
            return [str(evaluator)]
        found = self._compare_state(payment, receipt)
        vector = self._vector(payment, receipt)
        self._fold.seq = event.seq
        recorded = None
        try:
            recorded = receipts.vector_of(receipt)
        except BrokenReceipt as error:
            found.append(error.message)
        if vector is not None and recorded is not None:
            self.result.vectors += 1
            found += _vector_differences(vector, recorded, self._fold.catalogue.names)
        scored = evaluator.score(vector) if vector is not None and receipt.score is not None else None
        softened_by = tuple([one for one in receipt.missing if one.startswith(OPEN_BREAKER)])
        evaluation = evaluator.evaluate(
            payment,
            vector,
            scored,
            explain=receipt.explained,
            explain_approved=receipt.explain_approved,
            spent_minor=receipt.spent_minor,
            open_breakers=receipt.breakers,
            # Receipts of older releases do not name the open breakers, which turned a decline into a challenge.
            decline_as=None if softened_by else Decision.CHALLENGE,
            listed=self._lists.listed(payment, receipt),
        )
        if softened_by and softened_by != evaluation.softened_by:
            found.append(f"softened by {evaluation.softened_by!r} instead of {softened_by!r}")
        if evaluation.margin != receipt.margin:
            found.append(f"margin {evaluation.margin!r} instead of {receipt.margin!r}")
        if evaluation.score != receipt.score:
            found.append(f"score {evaluation.score!r} instead of {receipt.score!r} in the receipt")
        again = receipts.Answer(
            transaction_id=payment.transaction_id,
            decision=evaluation.decision.word,
            score=evaluation.score,
            reasons=evaluation.reasons,
            rules=evaluation.rules,
            tier=receipt.tier,
            missing=receipt.missing,
            warnings=receipt.warnings,
            model=evaluator.bundle.model_name,
            policy=receipt.policy,
            features=receipt.features,
            receipt_id=receipt.receipt_id,
        )
        try:
            answer = receipts.decode_answer(body.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return [*found, f"the answer cannot be read: {reason_of(error)}"]
        for name in COMPARED:
            if getattr(again, name) != getattr(answer, name):
                found.append(f"{name} {getattr(again, name)!r} instead of {getattr(answer, name)!r}")
        if event.transaction_id != payment.transaction_id or answer.transaction_id != payment.transaction_id:
            found.append("the transaction_id of event, payment and answer differ")
        if receipt.features != self._features:
            found.append(f"catalogue {self._features[:8]} computed, {receipt.features[:8]} recorded")
        return found

    def _compare_state(self, payment: Payment, receipt: Receipt) -> list[str]:
        assert self._fold is not None
        if not receipt.seen:  # decided without state, so its position in the state was unknown
            return []
        seen = tuple(self._fold.state.events_seen(payment))
        return [] if seen == receipt.seen else [f"state had seen {seen} events instead of {receipt.seen}"]

    def _vector(self, payment: Payment, receipt: Receipt) -> Any:
        assert self._fold is not None
        state, profiles = self._fold.state, self._fold.profiles
        if isinstance(profiles, NumberedProfiles):
            profiles.until = None if receipt.profile_row < 0 else receipt.profile_row
        if receipt.tier == DEFAULT:
            if receipt.folded:
                state.apply(payment)
            return None
        # A stale decision was made without profiles.
        known = None if receipt.tier == STALE or "profiles" in receipt.missing else profiles
        return state.observe_and_apply(payment, known) if receipt.folded else state.observe(payment, known)

    def _evaluator(self, receipt: Receipt) -> Evaluator | RiskgateError:
        key = (receipt.bundle, receipt.policy)
        if key not in self._evaluators:
            try:
                bundle = bundle_archive.kept_bundle(self.config.bundles, *key)
                evaluator = Evaluator(bundle, self._catalogue, self._names)
                self._evaluators[key] = evaluator
                self.result.models.append(bundle.model_name)
            except RiskgateError as error:
                self._evaluators[key] = error
        return self._evaluators[key]

    @property
    def _catalogue(self) -> Catalogue:
        assert self._fold is not None
        return self._fold.catalogue


def _vector_differences(now: Any, then: Any, names: tuple[str, ...]) -> list[str]:
    # Compared as bits: NaN equals NaN, and 0.0 differs from -0.0.
    if len(now) != len(then):
        return [f"the vector has {len(now)} values instead of {len(then)}"]
    places = np.flatnonzero(now.view(np.int64) != then.view(np.int64))
    return [f"{names[i]} is {float(now[i])!r}, was served as {float(then[i])!r}" for i in places[:3]]


def verify_ledger(config: LedgerConfig, most_differences: int = 5, advance: Advance | None = None) -> VerifyResult:
    """Recompute every decision of a ledger; `mismatches` is 0 for an intact one.

    `advance` is called with the number of events verified since its last call.
    Raises: CannotStart when there is no ledger, it is damaged, or it was written with another hash key.
    """
    with opened(config, checked=True) as ledger:
        verification = Verification(ledger, config, most_differences)
        verification.start_with(_first_catalogue(ledger, config))
        for event in ledger.walk():
            verification.step(event)
            if advance is not None and verification.result.events % 500 == 0:
                advance(500)
        verification.result.missing = missing_events(config, ledger)
        return verification.result


def _first_catalogue(ledger: LedgerReader, config: LedgerConfig) -> Catalogue:
    known = promotions(ledger)
    if not known:
        raise CannotStart(
            f"The ledger in {config.var} has no promotion: no payment was ever decided with it.",
            "Start the service once, then verify.",
        )
    return catalogue_at(known[0], config.bundles)


@contextlib.contextmanager
def progress_of(config: LedgerConfig) -> Iterator[Advance]:
    """Progress over the events of a ledger, on standard error."""
    total = None
    if config.postgres_url or config.sqlite.exists():
        with opened(config) as ledger:
            # Sequence numbers of the embedded profile have no gaps: the last one needs no counting.
            total = ledger.count() if config.postgres_url else ledger.last_seq()
    with progress(out) as shown:
        shown.stage("verifying", total)
        yield shown.advance
        if total is not None:
            shown.update(total, total)  # the last events are fewer than what is reported at a time
