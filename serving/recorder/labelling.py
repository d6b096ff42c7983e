"""Appends the labels of verdicts to the stream, like every other label."""

from __future__ import annotations

import asyncio
import logging

from features.catalogue.catalogue import Catalogue, catalogue_of
from features.state.remote import EntityStrings
from serving.decision.clock import clock_named
from serving.engine.clustered.feedback import RedisFeedback
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.errors import LedgerUnavailable
from serving.ledger.postgres.ledger import PostgresLedger
from serving.ledger.postgres.session import Session
from serving.ledger.promotions import promotions
from serving.model import bundle_archive
from serving.recorder.verdicts import label_verdicts
from serving.redis_store.connect import connect
from serving.settings import Settings
from serving.state.outcomes import LabelReport

log = logging.getLogger("riskgate.recorder")


class VerdictLabeller:
    """The recorder's chore: derive labels from new verdicts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self, session: Session) -> int:
        """Derive labels from the verdicts that have none; returns how many.

        Raises: LedgerUnavailable when a server or the bundle is missing; the verdicts then stay in the queue.
        """
        return label_verdicts(session, self.label)

    def label(self, report: LabelReport, verdict_seq: int) -> None:
        """Record one label; verdicts are rare, so each opens its own connections.

        Raises: LedgerUnavailable, and the refusals of a label.
        """
        ledger = PostgresLedger(self.settings, "riskgate-labels")
        try:
            asyncio.run(self._label(ledger, report, verdict_seq))
        finally:
            ledger.release()

    async def _label(self, ledger: PostgresLedger, report: LabelReport, verdict_seq: int) -> None:
        settings = self.settings
        catalogue = self._catalogue(ledger)
        past = LedgerLookup(ledger, settings.var / "segments", catalogue)
        state = await connect(settings)
        try:
            strings = EntityStrings(catalogue)
            clock = clock_named(settings.clock)
            await RedisFeedback(state, strings, clock, past.original, past.reports).take_label(report, verdict_seq)
        finally:
            state.close()

    def _catalogue(self, ledger: PostgresLedger) -> Catalogue:
        known = promotions(ledger)
        if not known:
            raise LedgerUnavailable("No bundle was promoted yet.", "Start a scoring process.")
        latest = known[-1]
        return catalogue_of(
            bundle_archive.kept_bundle(self.settings.var / "bundles", latest.bundle, latest.policy).contract
        )
