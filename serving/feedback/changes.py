"""What a report about a known payment changes in the state, given the reports before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from serving.feedback.label_precedence import label_by_precedence, label_in_force
from serving.feedback.outcome_rules import check_outcome, is_repeated
from serving.feedback.reports import KnownReport, Original, of_kind
from serving.ledger.event_bodies import Effect, LabelInForce

#: The order of sources that is in force now, highest first: it may change with the bundle.
Precedence = Callable[[], Sequence[str]]

#: Outcomes and labels that change the state: each is a filter of the catalogue.
EFFECTIVE_VALUES = ("declined", "reversed", "fraud", "legitimate")


class Change(NamedTuple):
    """The effects of a report on the state, and for a label which one is in force after it."""

    effects: tuple[Effect, ...]
    in_force: LabelInForce | None


def change_of(
    report: KnownReport, original: Original, recorded: Sequence[KnownReport], precedence: Sequence[str]
) -> Change | None:
    """The change by a report, given those recorded about its payment in order of arrival; None if it is one of them.

    Raises: Conflict for an outcome that another excludes; Refused for one whose amount or time cannot be.
    """
    known = of_kind((*original.before, *recorded), report.kind)
    if report.kind == "outcome":
        if is_repeated(report, known):
            return None
        check_outcome(original.payment.transaction_id, report, known, original.payment)
        first = all(one.value != report.value for one in known)
        return Change(_effects(report.value) if first else (), None)
    if any(report.repeats(one) for one in known):
        return None
    # What the state holds stands in the events: an older release, or another policy, may have judged otherwise.
    held = label_in_force(known)
    now = label_by_precedence([*known, report], precedence)
    if now.label == held.label:
        return Change((), now)
    return Change((*_effects(held.label, -1), *_effects(now.label)), now)


def _effects(value: str | None, weight: int = 1) -> tuple[Effect, ...]:
    return (Effect(value, weight),) if value in EFFECTIVE_VALUES else ()
