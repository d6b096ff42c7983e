"""Which label holds when two disagree: the later report; and what a new report changes in the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from features.domain.payment import Payment
from serving.errors import Conflict
from serving.ledger.event_bodies import Effect

#: Outcomes and labels that change the state: each is a filter of the catalogue.
EFFECTIVE_VALUES = ("declined", "reversed", "fraud", "legitimate")


class Original(NamedTuple):
    """The payment of a report, with its label and outcome from the imported history."""

    payment: Payment
    label: str | None
    label_ms: int
    outcome: str | None


class EarlierReport(NamedTuple):
    """An outcome or label as it is recorded; `reported_at_ms` is ms UTC."""

    kind: str
    value: str
    source: str | None
    reported_at_ms: int


def effects_of(
    report: EarlierReport, original: Original, earlier: Sequence[EarlierReport]
) -> tuple[Effect, ...] | None:
    """The effects of a report on the state, given the earlier ones about its payment; None if it is one of them.

    Raises: Conflict if a later label disagrees.
    """
    known = [one for one in earlier if one.kind == report.kind]
    if report.kind == "outcome":
        repeated = report.value == original.outcome or any(one.value == report.value for one in known)
        return None if repeated else _effects(report.value)
    if report in known:
        return None
    current, current_ms = original.label, original.label_ms
    for one in known:
        if current is None or one.reported_at_ms >= current_ms:
            current, current_ms = one.value, one.reported_at_ms
    if current is not None and current != report.value and report.reported_at_ms <= current_ms:
        raise Conflict(
            f"A later report says that transaction `{original.payment.transaction_id}` is {current}.",
            "Send the label with the time at which it was really reported.",
            "reported_at",
        )
    if current == report.value:
        return ()
    undone = () if current is None else _effects(current, -1)
    return (*undone, *_effects(report.value))


def _effects(value: str, weight: int = 1) -> tuple[Effect, ...]:
    return (Effect(value, weight),) if value in EFFECTIVE_VALUES else ()
