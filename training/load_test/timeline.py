"""The timeline of a load-test run: figures per second, and in total."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np

from training.client.load_generator import Replies
from training.data.arrays import Flags, Floats

DECISIONS = ("approve", "challenge", "review", "decline")


class ScoredAnswer(msgspec.Struct):
    """The fields of a reply that the load test uses."""

    transaction_id: str = ""
    decision: str = ""
    tier: str = ""
    score: float | None = None


class Second(msgspec.Struct, frozen=True):
    """One second of the run, by due time of the requests; latencies in ms, None if no request was answered."""

    second: int
    moment: str
    offered: int
    served: int
    missed_deadlines: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    tiers: dict[str, int]
    decisions: dict[str, int]


class TypologyCaught(msgspec.Struct, frozen=True, rename={"typology": "story"}):
    """Fraud of one typology in the run: value in reference minor units, and the part challenged or worse."""

    typology: str
    payments: int
    value_minor: int
    caught: int
    caught_minor: int


class Run(msgspec.Struct, frozen=True, rename={"by_typology": "by_story"}):
    """The totals of a run."""

    name: str
    offered: int
    served: int
    missed_deadlines: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    peak_per_second: int
    tiers: dict[str, int]
    decisions: dict[str, int]
    good: int
    insulted: int
    insulted_share: float
    fraud_value_caught: float | None
    by_typology: tuple[TypologyCaught, ...]
    seconds: tuple[Second, ...]


def answers_of(replies: Replies) -> list[ScoredAnswer]:
    """Each reply decoded; an empty answer where none came."""
    return [
        msgspec.json.decode(body, type=ScoredAnswer) if status == 200 else ScoredAnswer()
        for body, status in zip(replies.bodies, replies.status.tolist(), strict=True)
    ]


def run_of(
    name: str, replies: Replies, deadline_ms: float, typologies: list[str | None], amounts: Floats, moments: list[str]
) -> Run:
    """The figures of a run.

    Args:
        name: of the run.
        replies: what came back.
        deadline_ms: later than this after it was due, an answer has missed its deadline.
        typologies: the truth of each payment, None: honest.
        amounts: reference minor units.
        moments: the event time at which each second begins, as text.
    """
    answers = answers_of(replies)
    waited, served = replies.waited_ms, replies.status == 200
    late: Flags = ~served | (waited > deadline_ms)
    fraud: Flags = np.array([typology is not None for typology in typologies], np.bool_)
    flagged: Flags = np.array([answer.decision in DECISIONS[1:] for answer in answers], np.bool_)

    def counted(rows: slice) -> dict[str, Any]:
        """What a second and the whole run have in common."""
        p50, p99, p999 = quantiles(waited[rows][served[rows]])
        return {
            "offered": len(answers[rows]), "served": int(served[rows].sum()), "missed_deadlines": int(late[rows].sum()),
            "p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "tiers": _counted(a.tier for a in answers[rows]),
            "decisions": _counted(a.decision for a in answers[rows]),
        }  # fmt: skip

    edges = np.searchsorted(replies.due_s, np.arange(len(moments) + 1)).tolist()
    seconds = tuple(
        Second(second=second, moment=moment, **counted(slice(edges[second], edges[second + 1])))
        for second, moment in enumerate(moments)
    )
    value = float(amounts[fraud].sum())
    good, insulted = int((~fraud).sum()), int((flagged & ~fraud).sum())
    return Run(
        name=name, peak_per_second=max((s.offered for s in seconds), default=0), good=good, insulted=insulted,
        insulted_share=insulted / good if good else 0.0,
        fraud_value_caught=float(amounts[fraud & flagged].sum()) / value if value else None,
        by_typology=_by_typology(typologies, amounts, flagged), seconds=seconds, **counted(slice(None)),
    )  # fmt: skip


def quantiles(waited_ms: Floats) -> tuple[float | None, float | None, float | None]:
    """p50, p99 and p99.9."""
    if not len(waited_ms):
        return None, None, None
    p50, p99, p999 = np.percentile(waited_ms, (50, 99, 99.9)).tolist()
    return round(p50, 3), round(p99, 3), round(p999, 3)


def _by_typology(typologies: list[str | None], amounts: Floats, flagged: Flags) -> tuple[TypologyCaught, ...]:
    truth = np.array(typologies, dtype=object)
    found = []
    for typology in sorted({s for s in typologies if s is not None}):
        here: Flags = truth == typology
        both = here & flagged
        found.append(
            TypologyCaught(
                typology, int(here.sum()), int(amounts[here].sum()), int(both.sum()), int(amounts[both].sum())
            )
        )
    return tuple(found)


def _counted(words: object) -> dict[str, int]:
    counts = Counter(words)  # type: ignore[call-overload]
    return {word or "none": count for word, count in sorted(counts.items())}
