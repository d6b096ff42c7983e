"""From verdicts of the review desk to labels: done by the one recorder that records, so done once.

The desk notes each verdict in the transaction that closes its case. The label goes the way of every label,
through the stream into state and ledger; only then the note is deleted. A recorder killed in between gives
the same label again, which changes nothing.
"""

from __future__ import annotations

import logging
from typing import Protocol

import msgspec

from serving.errors import Conflict, UnknownTransaction
from serving.production.database import Session
from serving.reports import LabelReport

log = logging.getLogger("riskgate.recorder")

_WAITING = """SELECT e.seq, e.transaction_id, e.event_time_ms, e.body
FROM verdicts_to_label v JOIN entries e ON e.seq = v.seq ORDER BY e.seq LIMIT 100"""


class Labelling(Protocol):
    """Takes a label into stream and state."""

    def __call__(self, report: LabelReport, verdict_seq: int, /) -> None:
        """Record a label derived from a verdict; the same again changes nothing.

        Raises: UnknownTransaction and Conflict, which are final; after anything else it is asked again.
        """
        ...


class _Verdict(msgspec.Struct):
    verdict: str


def label_verdicts(session: Session, label: Labelling) -> int:
    """Make labels of the verdicts that wait for it; how many there were."""
    waiting = session.execute(_WAITING).fetchall()
    for seq, transaction_id, event_time_ms, body in waiting:
        try:
            verdict = msgspec.json.decode(body, type=_Verdict).verdict
            label(LabelReport(transaction_id, verdict, "review", event_time_ms), seq)
        except (UnknownTransaction, Conflict, msgspec.DecodeError) as error:
            log.warning("verdict %d became no label: %s", seq, error)
        session.execute("DELETE FROM verdicts_to_label WHERE seq = %s", (seq,))
    return len(waiting)
