"""Reasons to doubt an evaluation: too easy a world, a leak, labels that say nothing."""

from __future__ import annotations

import msgspec
import numpy as np

from training.data.arrays import Flags, Floats, Integers
from training.data.frame import Frame
from training.evaluation.metrics import auc

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
    found = []
    for story in sorted({s for s in stories if s is not None}):
        rows = np.concatenate([np.flatnonzero(stories == story), honest])
        told = stories[rows] == story
        best = max(
            (separation(test.values[rows, place], told), name)
            for place, name in enumerate(test.names)
            if features is None or name in features
        )
        found.append(Separation(story, best[1], best[0]))
    return tuple(found)


def _looked_at(test: Frame) -> Integers:
    """Every fraud, and as many honest payments, evenly chosen, as a figure needs."""
    honest = np.flatnonzero(~test.fraud)
    return np.sort(np.concatenate([np.flatnonzero(test.fraud), honest[:: max(len(honest) // HONEST_LOOKED_AT, 1)]]))


def separation(values: Floats, told: Flags) -> float:
    """Area under the ROC curve of one feature, in its better direction and reading of "missing"."""
    missing, areas = np.isnan(values), []
    for reading in (-np.inf, np.inf) if missing.any() else (0.0,):
        edge = np.finfo(np.float64).max
        area = auc(np.clip(np.where(missing, reading, values), -edge, edge), told)
        areas += [] if area is None else [area, 1.0 - area]
    return max(areas, default=0.5)


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
