"""Reasons to doubt an evaluation: too easy a world, a leak, labels that say nothing."""

from __future__ import annotations

import msgspec
import numpy as np

from training.frame import Frame
from training.metrics import auc
from training.shapes import Flags, Floats, Integers

SEPARATES = 0.98
LEAKS = 0.98
CHANCE = 0.6
TOO_EASY = 0.5
HONEST_LOOKED_AT = 40_000


class Separation(msgspec.Struct, frozen=True):
    """How well the best single feature tells a story from honest payments, by itself."""

    story: str
    feature: str
    auc: float


def separations(test: Frame, stories: np.ndarray, features: tuple[str, ...] | None = None) -> tuple[Separation, ...]:
    """For every story the feature that separates it best (larger or smaller, missing counted as least or most)."""
    rows = _looked_at(test)
    honest = rows[~test.fraud[rows]]
    rows_of = {story: np.flatnonzero(stories == story) for story in sorted({s for s in stories if s is not None})}
    best: dict[str, tuple[float, str]] = {}
    for place, name in enumerate(test.names):
        if features is not None and name not in features:
            continue
        column = test.values[:, place]
        ordinary = _Sorted(column[honest])  # once for all stories: sorting is what takes time
        for story, rows in rows_of.items():
            best[story] = max(best.get(story, (0.0, "")), (ordinary.told_from(column[rows]), name))
    return tuple(Separation(story, name, area) for story, (area, name) in best.items())


def _looked_at(test: Frame) -> Integers:
    """Every fraud, and as many honest payments, evenly chosen, as a figure needs."""
    honest = np.flatnonzero(~test.fraud)
    return np.sort(np.concatenate([np.flatnonzero(test.fraud), honest[:: max(len(honest) // HONEST_LOOKED_AT, 1)]]))


def separation(values: Floats, told: Flags) -> float:
    """Area under the ROC curve of one feature, in its better direction and reading of "missing"."""
    return _Sorted(values[~told]).told_from(values[told])


class _Sorted:
    """Values of one feature in order, for the area under the ROC curve of others against them.

    The area is the share of pairs in the right order, a tie counting half: whole numbers until the last division.
    """

    def __init__(self, values: Floats) -> None:
        known = values[~np.isnan(values)]
        self.known, self.missing = np.sort(known), len(values) - len(known)

    def told_from(self, others: Floats) -> float:
        known = others[~np.isnan(others)]
        missing, pairs = len(others) - len(known), len(others) * (len(self.known) + self.missing)
        if not pairs:
            return 0.5
        # twice the pairs that these win, missing ones aside: a tie is won by half
        won = int(np.searchsorted(self.known, known, "left").sum() + np.searchsorted(self.known, known, "right").sum())
        ties = missing * self.missing
        least = won + 2 * len(known) * self.missing + ties
        most = won + 2 * missing * len(self.known) + ties
        return max(area for twice in (least, most) for area in (twice / (2 * pairs), 1.0 - twice / (2 * pairs)))


def doubts(
    test: Frame, scores: Floats, by_story: tuple[Separation, ...], value: float | None, stateless: float | None
) -> list[str]:
    """Every reason to doubt what was measured, as sentences; empty if there is none."""
    found = []
    ranking = auc(scores, test.fraud)
    if ranking is not None and ranking < CHANCE:
        found.append(
            f"The model ranks hardly better than chance (AUC {ranking:.2f}): are the labels those of these payments?"
        )
    for one in by_story:
        if one.auc >= SEPARATES:
            found.append(f"{one.feature} alone separates {one.story} (AUC {one.auc:.3f}): a leak, or too easy a world.")
    rows = _looked_at(test)
    overall = max(
        ((separation(test.values[rows, place], test.fraud[rows]), name) for place, name in enumerate(test.names)),
        default=(0.5, ""),
    )
    if overall[0] >= LEAKS:
        found.append(f"{overall[1]} alone separates all fraud (AUC {overall[0]:.3f}): it knows the label.")
    if value and stateless is not None and stateless > TOO_EASY * value:
        found.append(
            f"Without window features {stateless / value:.0%} as much fraud value is caught: the world is too easy."
        )
    return found
