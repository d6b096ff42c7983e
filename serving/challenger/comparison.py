"""Compares champion and challenger: agreement, quantiles of scores, and decisions on labelled payments."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from serving.challenger.shadow_scores import ShadowScore, ShadowScores
from serving.decision.decision import Decision
from serving.errors import CannotStart
from serving.ledger import open
from serving.ledger.event_bodies import ReportEvent, decode_report
from serving.ledger.reader import Event
from serving.store_config import LedgerConfig

QUANTILES = (0.5, 0.9, 0.99, 0.999)
_WORDS = tuple(one.word for one in Decision)


class Stopped(msgspec.Struct, frozen=True):
    """Labelled payments that one of the two did not approve."""

    frauds: int
    legitimate: int


class ChallengerComparison(msgspec.Struct, frozen=True):
    """Champion and challenger on the same payments.

    `decisions[champion's][challenger's]` counts payments; `quantiles` and `population_stability` are of the scores,
    the latter the population stability index (above 0.2 the distributions differ).
    """

    challenger: str
    champions: list[str]
    payments: int
    agreement: float
    decisions: dict[str, dict[str, int]]
    quantiles: dict[str, list[float]]
    population_stability: float | None
    known_frauds: int
    known_legitimate: int
    champion_caught: Stopped
    challenger_caught: Stopped

    def figures(self) -> dict[str, Any]:
        """The comparison as data."""
        figures: dict[str, Any] = msgspec.to_builtins(self)
        return figures

    def sentences(self) -> list[str]:
        """The comparison in words."""
        apart = [
            f"{mine} became {theirs}: {count:,}"
            for mine, row in self.decisions.items()
            for theirs, count in row.items()
            if mine != theirs and count
        ]
        stability = "unknown" if self.population_stability is None else f"{self.population_stability:.3f}"
        lines = [
            f"{self.challenger} against {', '.join(self.champions)}: {self.payments:,} payments, "
            f"{self.agreement:.2%} decided alike; {'; '.join(apart) or 'no decision differs'}.",
            f"Scores at {', '.join(f'{q:.1%}' for q in QUANTILES)}: champion "
            f"{', '.join(f'{v:.4f}' for v in self.quantiles['champion'])}; challenger "
            f"{', '.join(f'{v:.4f}' for v in self.quantiles['challenger'])}; population stability index {stability}.",
        ]
        if self.known_frauds or self.known_legitimate:
            lines.append(
                f"Of {self.known_frauds:,} known frauds the champion stopped {self.champion_caught.frauds:,}, the "
                f"challenger would have stopped {self.challenger_caught.frauds:,}; of {self.known_legitimate:,} known "
                f"legitimate payments {self.champion_caught.legitimate:,} and {self.challenger_caught.legitimate:,}."
            )
        return lines


def compare(config: LedgerConfig) -> ChallengerComparison:
    """Compare the challenger active last with the champions of the same payments.

    Raises: CannotStart when no challenger has scored anything.
    """
    repair = "Set RISKGATE_CHALLENGER and score payments, or score the past: python -m serving challenge."
    if not config.shadow.exists():
        raise CannotStart("No challenger has scored here.", repair)
    scores = ShadowScores(config.shadow)
    try:
        progress = scores.progress()
        rows = [] if progress is None else list(scores.of(progress.challenger))
    finally:
        scores.close()
    if progress is None or not rows:
        raise CannotStart("No challenger has scored here.", repair)
    with open.opened(config) as ledger:
        labels = {report.transaction_id: report.value for report in _reports(ledger.each_of_kind("label"))}
    return of_rows(progress.challenger, rows, labels)


def of_rows(challenger: str, rows: list[ShadowScore], labels: dict[str, str]) -> ChallengerComparison:
    """The comparison of these payments, given the labels of some of them."""
    pairs = Counter((row.champion_decision, row.decision) for row in rows)
    decisions = {mine: {theirs: pairs[mine, theirs] for theirs in _WORDS} for mine in _WORDS}
    both = np.array([(r.champion_score, r.score) for r in rows if r.score is not None and r.champion_score is not None])
    mine, theirs = (both[:, 0], both[:, 1]) if len(both) else (np.zeros(0), np.zeros(0))
    frauds = [row for row in rows if labels.get(row.transaction_id) == "fraud"]
    legitimate = [row for row in rows if labels.get(row.transaction_id) == "legitimate"]
    return ChallengerComparison(
        challenger=challenger,
        champions=sorted({row.champion for row in rows}),
        payments=len(rows),
        agreement=sum(pairs[word, word] for word in _WORDS) / len(rows),
        decisions=decisions,
        quantiles={"champion": _quantiles(mine), "challenger": _quantiles(theirs)},
        population_stability=stability(mine, theirs) if len(both) >= 100 else None,
        known_frauds=len(frauds),
        known_legitimate=len(legitimate),
        champion_caught=Stopped(
            *(sum(row.champion_decision != "approve" for row in group) for group in (frauds, legitimate))
        ),
        challenger_caught=Stopped(*(sum(row.decision != "approve" for row in group) for group in (frauds, legitimate))),
    )


def stability(usual: np.ndarray[Any, np.dtype[np.float64]], other: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The population stability index over the deciles of `usual`; equal distributions give 0.

    >>> stability(np.arange(1000.0), np.arange(1000.0))
    0.0
    """
    edges = np.unique(np.quantile(usual, np.linspace(0.1, 0.9, 9)))
    shares = []
    for values in (usual, other):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * (len(edges) + 1)))
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _quantiles(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    return [float(v) for v in np.quantile(values, QUANTILES)] if len(values) else []


def _reports(events: Iterable[Event]) -> Iterator[ReportEvent]:
    for event in events:
        with contextlib.suppress(msgspec.DecodeError, TypeError):  # it is set aside; `verify` reports it
            yield decode_report(event.body)
