"""From verdicts of the review desk to labels: done by the one recorder that records, so done once.

The desk notes each verdict in the transaction that closes its case. The label goes the way of every label,
through the stream into state and ledger; only then the note is deleted. A recorder killed in between gives
the same label again, which changes nothing.
"""

from __future__ import annotations

import logging
from typing import Protocol

import msgspec

from features.errors import Refused, RiskgateError
from serving.errors import Conflict, LedgerUnavailable, UnknownTransaction
from serving.ledger.event_bodies import decode_verdict
from serving.ledger.postgres.session import Session
from serving.state.foldable import CannotFold, reason_of
from serving.state.outcomes import LabelReport

log = logging.getLogger("riskgate.recorder")

_WAITING = """SELECT e.seq, e.transaction_id, e.event_time_ms, e.body
FROM verdicts_to_label v JOIN entries e ON e.seq = v.seq WHERE v.seq > %s ORDER BY e.seq LIMIT 100"""


class Labelling(Protocol):
    """Takes a label into stream and state."""

    def __call__(self, report: LabelReport, verdict_seq: int, /) -> None:
        """Record a label derived from a verdict; the same again changes nothing.

        Raises: UnknownTransaction, Conflict, CannotFold, which are final; after anything else it is asked again.
        """
        ...


#: What no second try repairs.
_FINAL = (UnknownTransaction, Conflict, CannotFold, Refused, msgspec.DecodeError)


def label_verdicts(session: Session, label: Labelling) -> int:
    """Make labels of the verdicts that wait for it; how many there were.

    A verdict that cannot become a label, now or ever, holds up none of the others.
    Raises: LedgerUnavailable when verdicts are left waiting.
    """
    done, left, after = 0, 0, 0
    while waiting := session.execute(_WAITING, (after,)).fetchall():
        for seq, transaction_id, event_time_ms, body in waiting:
            after = seq
            try:
                label(LabelReport(transaction_id, decode_verdict(body).verdict, "review", event_time_ms), seq)
            except _FINAL as error:
                told = error if isinstance(error, RiskgateError) else reason_of(error)
                log.warning("verdict %d became no label: %s", seq, told)
            except RiskgateError:
                raise  # a server or the bundle is not there: the others would not fare better
            except Exception:  # its note stays, and the verdicts behind it are looked at
                log.exception("verdict %d waits to become a label", seq)
                left += 1
                continue
            session.execute("DELETE FROM verdicts_to_label WHERE seq = %s", (seq,))
            done += 1
    if left:
        raise LedgerUnavailable(f"{left} verdicts could not become labels.", "The log of the recorder says why.")
    return done
