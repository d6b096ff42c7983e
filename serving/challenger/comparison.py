"""Champion and challenger side by side: where they agree, how their scores lie, what each makes of known frauds."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from serving.challenger.shadow_scores import Shadow, ShadowScores
from serving.decision.decision import Decision
from serving.errors import CannotStart
from serving.ledger import open
from serving.ledger.reader import Event
from serving.settings import Settings
from serving.state.fold import Report, decode_report

QUANTILES = (0.5, 0.9, 0.99, 0.999)
_WORDS = tuple(one.word for one in Decision)


class Caught(msgspec.Struct, frozen=True):
    """What one of the two made of payments whose truth is known: how many it did not simply approve."""

    frauds: int
    legitimate: int


class Comparison(msgspec.Struct, frozen=True):
    """Both on the same payments.

    `decisions[champion's][challenger's]` counts payments; `quantiles` and `population_stability` are of the
    scores, the latter the population stability index (above 0.2 the two see different populations).
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
    champion_caught: Caught
    challenger_caught: Caught

    def figures(self) -> dict[str, Any]:
        """As data."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        return told

    def sentences(self) -> list[str]:
        """As text."""
        apart = [
            f"{mine} became {theirs}: {count:,}"
            for mine, row in self.decisions.items()
            for theirs, count in row.items()
            if mine != theirs and count
        ]
        stability = "unknown" if self.population_stability is None else f"{self.population_stability:.3f}"
        lines = [
            f"{self.challenger} beside {', '.join(self.champions)}: {self.payments:,} payments, "
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


def compare(settings: Settings) -> Comparison:
    """The challenger that worked last and the champions of the same payments.

    Raises: CannotStart when no challenger has scored anything.
    """
    repair = "Set RISKGATE_CHALLENGER and let payments come, or send one through the past: python -m serving challenge."
    if not settings.shadow_path.exists():
        raise CannotStart("No challenger has scored here.", repair)
    scores = ShadowScores(settings.shadow_path)
    try:
        progress = scores.progress()
        rows = [] if progress is None else list(scores.of(progress.challenger))
    finally:
        scores.close()
    if progress is None or not rows:
        raise CannotStart("No challenger has scored here.", repair)
    with open.opened(settings) as ledger:
        labels = {report.transaction_id: report.value for report in _reports(ledger.each_of_kind("label"))}
    return of_rows(progress.challenger, rows, labels)


def of_rows(challenger: str, rows: list[Shadow], labels: dict[str, str]) -> Comparison:
    """The comparison of these payments, given what became known of some of them."""
    pairs = Counter((row.champion_decision, row.decision) for row in rows)
    decisions = {mine: {theirs: pairs[mine, theirs] for theirs in _WORDS} for mine in _WORDS}
    both = np.array([(r.champion_score, r.score) for r in rows if r.score is not None and r.champion_score is not None])
    mine, theirs = (both[:, 0], both[:, 1]) if len(both) else (np.zeros(0), np.zeros(0))
    frauds = [row for row in rows if labels.get(row.transaction_id) == "fraud"]
    legitimate = [row for row in rows if labels.get(row.transaction_id) == "legitimate"]
    return Comparison(
        challenger=challenger,
        champions=sorted({row.champion for row in rows}),
        payments=len(rows),
        agreement=sum(pairs[word, word] for word in _WORDS) / len(rows),
        decisions=decisions,
        quantiles={"champion": _quantiles(mine), "challenger": _quantiles(theirs)},
        population_stability=stability(mine, theirs) if len(both) >= 100 else None,
        known_frauds=len(frauds),
        known_legitimate=len(legitimate),
        champion_caught=Caught(
            *(sum(row.champion_decision != "approve" for row in group) for group in (frauds, legitimate))
        ),
        challenger_caught=Caught(*(sum(row.decision != "approve" for row in group) for group in (frauds, legitimate))),
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


def _reports(events: Iterable[Event]) -> Iterator[Report]:
    for event in events:
        with contextlib.suppress(msgspec.DecodeError, TypeError):  # it is set aside; `verify` names it
            yield decode_report(event.body)
