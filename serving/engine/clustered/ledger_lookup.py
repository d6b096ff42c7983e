"""Looks up payments and reports in PostgreSQL and in the imported history."""

from __future__ import annotations

import contextlib
from pathlib import Path

from features.catalogue.catalogue import Catalogue
from serving.cases.cases import Case, UnknownCase, case_of
from serving.decision import receipt as receipts
from serving.feedback.reports import KnownReport, Original
from serving.ledger.history_segment import Segment
from serving.ledger.reader import Event, LedgerReader
from serving.state.foldable import CannotFold, HistoryStep, step_of
from serving.state.report_events import REPORT_KINDS, in_history, reports_in, scored_here


class LedgerLookup:
    """Finds payments and reports that Redis no longer holds; calls block, so make them in a thread."""

    def __init__(self, ledger: LedgerReader, segments: Path, catalogue: Catalogue) -> None:
        self.ledger = ledger
        self.catalogue = catalogue
        self._folder = segments
        self._segment: Segment | None = None

    def payment(self, transaction_id: str) -> Event | None:
        """The payment with its decision; None also while it is undecided.

        Raises: LedgerUnavailable.
        """
        event = self.ledger.payment(transaction_id)
        return None if event is None or event.body.endswith(receipts.UNDECIDED) else event

    def content(self, transaction_id: str) -> bytes | None:
        """The payment as it was admitted, decided or not.

        Raises: LedgerUnavailable.
        """
        event = self.ledger.payment(transaction_id)
        return None if event is None else bytes(receipts.payment_in(event.body))

    def imported(self, transaction_id: str) -> bool:
        """Whether the imported history holds that payment; reads memory only: call `segment` once before."""
        return self._segment is not None and transaction_id in self._segment

    def original(self, transaction_id: str) -> Original | None:
        """The payment, scored here or part of an imported history; None if there is none.

        Raises: LedgerUnavailable, CannotFold when the stored payment cannot be read.
        """
        event = self.ledger.payment(transaction_id)
        if event is not None:
            return scored_here(event, self.catalogue)
        segment = self.segment()
        return None if segment is None else in_history(segment, transaction_id)

    def reports(self, transaction_id: str) -> list[KnownReport]:
        """The recorded outcomes and labels about the payment, and those refused after they had waited, in order.

        Raises: LedgerUnavailable.
        """
        events = [event for kind in REPORT_KINDS for event in self.ledger.reports(transaction_id, kind)]
        return reports_in(sorted(events), self.catalogue)

    def case(self, transaction_id: str) -> Case | None:
        """The case of a payment, once the recorder has written it.

        Raises: LedgerUnavailable.
        """
        try:
            return case_of(self.ledger.connection, transaction_id)
        except UnknownCase:
            return None

    def segment(self) -> Segment | None:
        """The imported history, if there is one.

        Raises: LedgerUnavailable, InvalidHistory when its file is not on this machine.
        """
        if self._segment is None:
            for event in self.ledger.of_kind("history"):
                with contextlib.suppress(CannotFold):  # the fold sets such an event aside
                    step = step_of(event, self.catalogue)
                    assert isinstance(step, HistoryStep)
                    self._segment = Segment(self._folder, step.body.sha256, step.body.until_ms)
                    break
        return self._segment
