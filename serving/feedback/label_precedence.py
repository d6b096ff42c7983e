"""Which label is in force when sources disagree: the one of the source that ranks highest in the policy.

Of one source its latest report counts, in order of arrival and whichever dates stand on them: a typing error in a date
must not outlive the report that corrects it. `retracted` withdraws the label of its source.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.domain.payment import RETRACTED
from serving.feedback.reports import KnownReport
from serving.ledger.event_bodies import LabelInForce

NO_LABEL = LabelInForce(None, None, 0)

#: The states of a label that a caller is told.
APPLIED, WAITING, OUTRANKED = "applied", "waiting", "outranked"
LABEL_STATES = (APPLIED, WAITING, OUTRANKED)


def label_by_precedence(labels: Sequence[KnownReport], precedence: Sequence[str]) -> LabelInForce:
    """The label that these reports, in order of arrival, bring into force; `precedence` has the highest source first.

    A source that the precedence does not name (an imported label without one) ranks below all others.

    >>> early = KnownReport("label", "legitimate", "customer_report", 9)
    >>> label_by_precedence([early, KnownReport("label", "fraud", "chargeback", 1)], ["chargeback"]).label
    'fraud'
    """
    latest: dict[str | None, KnownReport] = {}
    for one in labels:
        latest.pop(one.source, None)
        latest[one.source] = one
    standing = [one for one in latest.values() if one.value != RETRACTED]
    if not standing:
        return NO_LABEL
    # Of several sources without a rank the one that arrived last.
    best = min(reversed(standing), key=lambda one: _rank(one.source, precedence))
    return LabelInForce(best.value, best.source, best.reported_at_ms)


def label_in_force(labels: Sequence[KnownReport]) -> LabelInForce:
    """The label that the state holds after these reports, as recorded with them.

    Events of releases that did not record it follow the rule of those releases: the later reported label wins.
    """
    held = NO_LABEL
    for one in labels:
        if one.in_force is not None:
            held = one.in_force
        elif held.label is None or one.reported_at_ms >= held.reported_at_ms:
            held = LabelInForce(one.value, one.source, one.reported_at_ms)
    return held


def state_of_label(report: KnownReport, labels: Sequence[KnownReport], precedence: Sequence[str]) -> str:
    """Whether a label that is among these reports is `applied`, or `outranked` by another one."""
    own = [one for one in labels if one.source == report.source]
    if not own or not own[-1].repeats(report):
        return OUTRANKED
    others = label_by_precedence([one for one in labels if one.source != report.source], precedence)
    higher = others.label is not None and _rank(others.source, precedence) < _rank(report.source, precedence)
    return OUTRANKED if higher else APPLIED


def _rank(source: str | None, precedence: Sequence[str]) -> int:
    return precedence.index(source) if source in precedence else len(precedence)
