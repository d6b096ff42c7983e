"""Appends the labels of verdicts to the stream, like every other label."""

from __future__ import annotations

import asyncio
import logging

from features.state.remote import EntityStrings
from serving.decision.clock import clock_named
from serving.engine.clustered.feedback import RedisFeedback
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.errors import LedgerUnavailable
from serving.feedback.reports import LabelReport
from serving.ledger.postgres.ledger import PostgresLedger
from serving.ledger.postgres.session import Session
from serving.ledger.promotions import catalogue_at, promotions
from serving.model.bundle_archive import kept_bundle
from serving.recorder.verdicts import label_verdicts
from serving.redis_store.connect import connect
from serving.store_config import LedgerConfig, RedisConfig

log = logging.getLogger("riskgate.recorder")


class VerdictLabeller:
    """The recorder's chore: derive labels from new verdicts."""

    def __init__(self, config: LedgerConfig, redis: RedisConfig, clock: str) -> None:
        """`clock` is the name of the clock, as RISKGATE_CLOCK spells it."""
        self.config = config
        self.redis = redis
        self.clock = clock

    def __call__(self, session: Session) -> int:
        """Derive labels from the verdicts that have none; returns how many.

        Raises: LedgerUnavailable when a server or the bundle is missing; the verdicts then stay in the queue.
        """
        return label_verdicts(session, self.label)

    def label(self, report: LabelReport, verdict_seq: int) -> None:
        """Record one label; verdicts are rare, so each opens its own connections.

        Raises: LedgerUnavailable, and the refusals of a label.
        """
        ledger = PostgresLedger(self.config, "riskgate-labels")
        try:
            asyncio.run(self._label(ledger, report, verdict_seq))
        finally:
            ledger.release()

    async def _label(self, ledger: PostgresLedger, report: LabelReport, verdict_seq: int) -> None:
        known = promotions(ledger)
        if not known:
            raise LedgerUnavailable("No bundle was promoted yet.", "Start a scoring process.")
        catalogue = catalogue_at(known[-1], self.config.bundles)
        policy = kept_bundle(self.config.bundles, known[-1].bundle, known[-1].policy).policy
        past = LedgerLookup(ledger, self.config.segments, catalogue)
        state = await connect(self.redis)
        try:
            feedback = RedisFeedback(
                state, EntityStrings(catalogue), clock_named(self.clock), past, lambda: policy.label_precedence
            )
            await feedback.take_label(report, verdict_seq)
        finally:
            state.close()
