"""A challenger scores the champion's payments from the same vectors, in a process of its own.

It reads the ledger, whose receipts hold every feature vector as served, so it needs nothing of the reply path: no queue
that drops when full, no thread that holds the GIL. It runs at low priority, resumes where it stopped, and can score the
past.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from features.bundle.bundle import read_bundle
from features.catalogue.catalogue import catalogue_of
from features.errors import RiskgateError
from serving.challenger.shadow_scores import ShadowScore, ShadowScores
from serving.decision import receipt as receipts
from serving.decision.evaluator import OF_BUNDLE, Evaluator
from serving.decision.rules import listed_in
from serving.errors import BrokenReceipt, LedgerError
from serving.ledger import open
from serving.ledger.hash_key import pseudonyms_of
from serving.ledger.reader import Event, LedgerReader
from serving.settings import Settings
from serving.state.champion import Fingerprint, fingerprint_of
from serving.state.foldable import CannotFold, PaymentStep, step_of
from serving.store_config import LedgerConfig

log = logging.getLogger("riskgate.challenger")

EVERY_SECONDS = 0.5
GROUP = 256
NICENESS = 10


class Challenger:
    """Scores the payments of a ledger with one challenger's bundle."""

    def __init__(self, folder: Path, hash_key: str, scores: ShadowScores) -> None:
        """Open the bundle; the key hashes the identifiers of its lists.

        Raises: BrokenBundle, ContractMismatch.
        """
        bundle = read_bundle(folder)
        self.catalogue = catalogue_of(bundle.contract)
        self.evaluator = Evaluator(bundle, self.catalogue, pseudonyms_of(hash_key))
        self.features = bundle.contract.hash
        self.name = f"{bundle.model_name} {bundle.digest[:8]}-{bundle.policy.digest[:8]}"
        self.scores = scores

    def begin(self, ledger: LedgerReader, *, past: bool) -> int:
        """The seq to start after: the last one scored, else the end of the ledger; with `past` its beginning."""
        known = self.scores.progress(self.name)
        if known is not None and not past:
            return known.seq
        return 0 if past else ledger.last_seq()

    def catch_up(self, ledger: LedgerReader, after_seq: int) -> int:
        """Score every payment after an event; returns the seq of the last event."""
        for group in _grouped(ledger.walk(after_seq)):
            rows = [row for event in group if event.kind == "payment" and (row := self._shadow(event)) is not None]
            after_seq = group[-1].seq
            self.scores.add(self.name, rows, after_seq)
        return after_seq

    def _shadow(self, event: Event) -> ShadowScore | None:
        try:
            step = step_of(event, self.catalogue)
        except CannotFold:
            return None  # it is set aside; `verify` reports it
        body = step.body if isinstance(step, PaymentStep) else None
        receipt = None if body is None else body.receipt
        if not isinstance(step, PaymentStep) or body is None or receipt is None or receipt.features != self.features:
            return None  # never decided, or from the features of another catalogue
        try:
            answer = receipts.decode_answer(body.answer)
            vector = receipts.vector_of(receipt)
        except (BrokenReceipt, msgspec.DecodeError):
            return None  # `verify` reports it
        # Like the champion: without a score if the champion had none.
        scored = self.evaluator.score(vector) if vector is not None and receipt.score is not None else None
        # The lists in force are the champion's; its answer says which of them named the payment.
        listed = OF_BUNDLE if receipt.lists_seq < 0 else listed_in(answer.rules)
        evaluation = self.evaluator.evaluate(step.payment, vector, scored, explain=False, listed=listed)
        return ShadowScore(
            event.seq,
            event.transaction_id,
            evaluation.score,
            evaluation.decision.word,
            answer.model,
            answer.score,
            answer.decision,
        )


def follow(config: LedgerConfig, find: Callable[[], Path], parent: int | None = None) -> None:
    """Score new payments until stopped or until the parent process is gone.

    An unusable bundle is logged once and opened again when it changes.
    """
    os.nice(NICENESS)
    scores = ShadowScores(config.shadow)
    opened_last: Fingerprint | None = None
    challenger: Challenger | None = None
    seq = 0
    while parent is None or os.getppid() == parent:
        current = fingerprint_of(find)
        if current != opened_last:
            opened_last = current
            challenger = _open(find, config.hash_key, scores)
            seq = -1
        if challenger is not None:
            try:
                with open.opened(config) as ledger:
                    seq = challenger.begin(ledger, past=False) if seq < 0 else seq
                    seq = challenger.catch_up(ledger, seq)
            except (RiskgateError, LedgerError) as error:
                log.warning("the challenger could not read the ledger: %s", error)
        time.sleep(EVERY_SECONDS)


def _open(find: Callable[[], Path], hash_key: str, scores: ShadowScores) -> Challenger | None:
    try:
        challenger = Challenger(find(), hash_key, scores)
    except (RiskgateError, OSError) as error:
        log.error("there is no challenger: %s", error)
        return None
    log.info("%s scores the champion's payments", challenger.name)
    return challenger


def run_alongside(settings: Settings, parent: int) -> None:
    """The main function of the process that a service starts."""
    from serving.model.model_store import bundle_folder
    from serving.telemetry.logs import set_up

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the service ends this process
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    set_up(settings.log)

    def find() -> Path:
        return bundle_folder(settings.challenger, settings.var, "RISKGATE_CHALLENGER")

    follow(settings.ledger, find, parent)


def _grouped(events: Iterator[Event]) -> Iterator[list[Event]]:
    while group := list(itertools.islice(events, GROUP)):
        yield group
