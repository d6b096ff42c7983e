"""The cases of the production profile, in PostgreSQL.

A verdict is written directly, in the transaction that closes its case, and not through the stream: it changes no
online state, and the case must close for all analysts at the same time. Its sequence number is the wall time with the
upper half of the counter, which no entry of the stream ever reaches. The label derived from it does change online
state; the recorder appends that to the stream, once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from serving.cases import cases
from serving.cases.cases import Verdict
from serving.errors import LedgerError, LedgerUnavailable
from serving.ledger.postgres import schema
from serving.ledger.postgres.session import PostgresReader, QmarkSession, first_session, ledger_errors, session
from serving.ledger.reader import COUNT_BITS, SqlConnection
from serving.store_config import LedgerConfig

_UPPER_HALF = 1 << (COUNT_BITS - 1)

_VERDICT = """INSERT INTO entries (seq, kind, transaction_id, event_time_ms, arrival_time_ms, body)
VALUES (%s, 'verdict', %s, %s, %s, %s)"""
_CLOSE = """UPDATE cases SET status = 'resolved', verdict = %s, verdict_by = %s, verdict_at = %s, note = %s
WHERE transaction_id = %s"""


class PostgresCases:
    """The cases in PostgreSQL; each task has a connection of its own."""

    def __init__(self, config: LedgerConfig) -> None:
        """Refuse a database that this release does not know.

        Raises: CannotStart.
        """
        self._url = config.postgres_url
        with first_session(self._url, "riskgate-desk") as own:
            schema.check(own, self._url, config.redis_prefix)

    @contextmanager
    def opened(self) -> Iterator[SqlConnection]:
        """A connection, closed at the end of the block.

        Raises: LedgerUnavailable.
        """
        reader = PostgresReader(self._url, "riskgate-desk")
        try:
            yield reader
        finally:
            reader.close()

    def resolve(self, connection: SqlConnection, verdict: Verdict) -> int:
        """Append a verdict and close its case, both or neither; returns the event's seq.

        Raises: UnknownCase; AlreadyResolved if the case has a verdict; LedgerUnavailable.
        """
        body, arrival_ms = verdict.body(), verdict.arrival_time_ms
        name, at_ms = verdict.transaction_id, verdict.event_time_ms
        seq = (arrival_ms << COUNT_BITS) | _UPPER_HALF | secrets.randbelow(_UPPER_HALF)
        try:
            with ledger_errors(), session(self._url, "riskgate-desk") as own, own.transaction():
                # FOR UPDATE before the case is read: two analysts cannot both see it open.
                own.execute("SELECT 1 FROM cases WHERE transaction_id = %s FOR UPDATE", (name,))
                cases.check_open(cases.case_of(QmarkSession(own), name))
                own.execute(_VERDICT, (seq, name, at_ms, arrival_ms, body))
                own.execute(_CLOSE, (verdict.verdict, verdict.actor, at_ms, verdict.note, name))
                own.execute("INSERT INTO verdicts_to_label (seq) VALUES (%s)", (seq,))
        except LedgerError as error:
            raise LedgerUnavailable(
                "The ledger could not be written; nothing was changed.",
                "Try again in a moment; if it persists, ask the operator of the scoring service.",
            ) from error
        return seq
