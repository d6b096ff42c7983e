"""Derives labels from the verdicts of the review desk; only the active recorder does that, so it happens once.

The desk queues each verdict in the transaction that closes its case. Its label passes through the stream into state
and ledger like every label; only then the queue entry is deleted. A recorder killed in between records the same label
again, which changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from features.domain.payment import REVIEW
from features.errors import Refused, RiskgateError
from serving.errors import Conflict, LedgerUnavailable, UnknownTransaction
from serving.feedback.reports import LabelReport
from serving.ledger.event_bodies import decode_verdict
from serving.ledger.postgres.session import Session
from serving.state.foldable import CannotFold, reason_of

log = logging.getLogger("riskgate.recorder")

_WAITING = """SELECT e.seq, e.transaction_id, e.event_time_ms, e.body
FROM verdicts_to_label v JOIN entries e ON e.seq = v.seq WHERE v.seq > %s ORDER BY e.seq LIMIT 100"""


#: Records the label of a verdict (its sequence number) in stream and state; idempotent. UnknownTransaction, Conflict,
#: CannotFold and Refused are final; after any other error it is called again.
RecordLabel = Callable[[LabelReport, int], None]

#: Errors that no retry repairs.
_FINAL = (UnknownTransaction, Conflict, CannotFold, Refused, msgspec.DecodeError)


def label_verdicts(session: Session, label: RecordLabel) -> int:
    """Derive labels from the queued verdicts; returns how many.

    A verdict that cannot become a label does not block the others.
    Raises: LedgerUnavailable when verdicts are left in the queue.
    """
    done, left, after = 0, 0, 0
    while waiting := session.execute(_WAITING, (after,)).fetchall():
        for seq, transaction_id, event_time_ms, body in waiting:
            after = seq
            try:
                label(LabelReport(transaction_id, decode_verdict(body).verdict, REVIEW, event_time_ms), seq)
            except _FINAL as error:
                reason = error if isinstance(error, RiskgateError) else reason_of(error)
                log.warning("verdict %d became no label: %s", seq, reason)
            except RiskgateError:
                raise  # a server or the bundle is missing: the other verdicts would fail too
            except Exception:  # its queue entry stays; the next verdicts are processed
                log.exception("verdict %d is not yet a label", seq)
                left += 1
                continue
            session.execute("DELETE FROM verdicts_to_label WHERE seq = %s", (seq,))
            done += 1
    if left:
        raise LedgerUnavailable(f"{left} verdicts could not become labels.", "The recorder's log has the reasons.")
    return done
