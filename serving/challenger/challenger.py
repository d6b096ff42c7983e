"""A challenger scores what the champion decided, from the same vectors, in a process of its own.

It reads the ledger, whose receipts hold every feature vector as served, so it needs nothing of the reply path:
no queue that could be full and drop, no thread that could hold the interpreter. It runs with less priority, goes
on where it stopped, and can be sent through the past.
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
from serving.challenger.shadow_scores import Shadow, ShadowScores
from serving.decision import receipt as receipts
from serving.decision.evaluator import Judge
from serving.errors import BrokenReceipt, LedgerError
from serving.ledger import open
from serving.ledger.hash_key import pseudonyms_of
from serving.ledger.reader import Event, LedgerReading
from serving.settings import Settings
from serving.state.bundle_watcher import Mark, mark_of
from serving.state.foldable import CannotFold, Paid, step_of

log = logging.getLogger("riskgate.challenger")

EVERY_SECONDS = 0.5
GROUP = 256
NICENESS = 10


class Challenger:
    """One challenger's bundle at work on a ledger."""

    def __init__(self, settings: Settings, folder: Path, scores: ShadowScores) -> None:
        """Open the bundle.

        Raises: BrokenBundle, ContractMismatch.
        """
        bundle = read_bundle(folder)
        self.catalogue = catalogue_of(bundle.contract)
        self.judge = Judge(bundle, self.catalogue, pseudonyms_of(settings))
        self.features = bundle.contract.hash
        self.name = f"{bundle.model_name} {bundle.digest[:8]}-{bundle.policy.digest[:8]}"
        self.scores = scores

    def begin(self, ledger: LedgerReading, *, past: bool) -> int:
        """Where to go on: after what was scored already, else at the present, or at the first event for the `past`."""
        known = self.scores.progress(self.name)
        if known is not None and not past:
            return known.seq
        return 0 if past else ledger.last_seq()

    def catch_up(self, ledger: LedgerReading, after_seq: int) -> int:
        """Score every payment after an event; the last event seen."""
        for group in _grouped(ledger.walk(after_seq)):
            rows = [row for event in group if event.kind == "payment" and (row := self._shadow(event)) is not None]
            after_seq = group[-1].seq
            self.scores.add(self.name, rows, after_seq)
        return after_seq

    def _shadow(self, event: Event) -> Shadow | None:
        try:
            step = step_of(event, self.catalogue)
        except CannotFold:
            return None  # it is set aside; `verify` names it
        body = step.body if isinstance(step, Paid) else None
        receipt = None if body is None else body.receipt
        if not isinstance(step, Paid) or body is None or receipt is None or receipt.features != self.features:
            return None  # decided by nobody, or from features this challenger does not know
        try:
            answer = receipts.decode_answer(body.answer)
            vector = receipts.vector_of(receipt)
        except (BrokenReceipt, msgspec.DecodeError):
            return None  # `verify` tells of it
        # Like the champion: without a score where the champion had none.
        scored = self.judge.score(vector) if vector is not None and receipt.score is not None else None
        judgement = self.judge.judge(step.payment, vector, scored, explain=False)
        return Shadow(
            event.seq,
            event.transaction_id,
            judgement.score,
            judgement.decision.word,
            answer.model,
            answer.score,
            answer.decision,
        )


def follow(settings: Settings, find: Callable[[], Path], parent: int | None = None) -> None:
    """Score beside the service until stopped or until the process that wanted it is gone.

    A challenger that cannot be used is told once, and looked for again.
    """
    os.nice(NICENESS)
    scores = ShadowScores(settings.shadow_path)
    mark: Mark | None = None
    challenger: Challenger | None = None
    seq = 0
    while parent is None or os.getppid() == parent:
        now = mark_of(find)
        if now != mark:
            mark = now
            challenger = _open(settings, find, scores)
            seq = -1
        if challenger is not None:
            try:
                with open.opened(settings) as ledger:
                    seq = challenger.begin(ledger, past=False) if seq < 0 else seq
                    seq = challenger.catch_up(ledger, seq)
            except (RiskgateError, LedgerError) as error:
                log.warning("the ledger did not answer the challenger: %s", error)
        time.sleep(EVERY_SECONDS)


def _open(settings: Settings, find: Callable[[], Path], scores: ShadowScores) -> Challenger | None:
    try:
        challenger = Challenger(settings, find(), scores)
    except (RiskgateError, OSError) as error:
        log.error("there is no challenger: %s", error)
        return None
    log.info("%s scores beside the champion", challenger.name)
    return challenger


def run_beside(settings: Settings, parent: int) -> None:
    """The whole life of the process that a service starts."""
    from serving.model.model_store import folder_of
    from serving.telemetry.logs import set_up

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the service, which ends us
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    set_up(settings.log)
    follow(settings, lambda: folder_of(settings, settings.challenger, "RISKGATE_CHALLENGER"), parent)


def _grouped(events: Iterator[Event]) -> Iterator[list[Event]]:
    while group := list(itertools.islice(events, GROUP)):
        yield group
