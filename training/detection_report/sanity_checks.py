"""Sanity checks of an evaluation: a world that is too easy, a label leak, labels without information."""

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
HONEST_SAMPLE = 40_000


class Separation(msgspec.Struct, frozen=True, rename={"typology": "story"}):
    """How well the best single feature separates a typology from honest payments."""

    typology: str
    feature: str
    auc: float


def separations(test: Frame, typologies: np.ndarray, features: tuple[str, ...] | None = None) -> tuple[Separation, ...]:
    """For every typology the feature that separates it best, in either direction, missing as lowest or highest."""
    rows = _sample(test)
    honest = rows[~test.fraud[rows]]
    found = []
    for typology in sorted({s for s in typologies if s is not None}):
        rows = np.concatenate([np.flatnonzero(typologies == typology), honest])
        positive = typologies[rows] == typology
        best = max(
            (separation(test.values[rows, place], positive), name)
            for place, name in enumerate(test.names)
            if features is None or name in features
        )
        found.append(Separation(typology, best[1], best[0]))
    return tuple(found)


def _sample(test: Frame) -> Integers:
    """Rows of every fraud and of up to HONEST_SAMPLE evenly spaced honest payments."""
    honest = np.flatnonzero(~test.fraud)
    return np.sort(np.concatenate([np.flatnonzero(test.fraud), honest[:: max(len(honest) // HONEST_SAMPLE, 1)]]))


def separation(values: Floats, positive: Flags) -> float:
    """AUC of one feature in its better direction, with missing values as lowest or highest."""
    missing, areas = np.isnan(values), []
    for reading in (-np.inf, np.inf) if missing.any() else (0.0,):
        edge = np.finfo(np.float64).max
        area = auc(np.clip(np.where(missing, reading, values), -edge, edge), positive)
        areas += [] if area is None else [area, 1.0 - area]
    return max(areas, default=0.5)


def doubts(
    test: Frame, scores: Floats, by_typology: tuple[Separation, ...], value: float | None, stateless: float | None
) -> list[str]:
    """Every reason to doubt the figures, one sentence each; empty if there is none."""
    found = []
    ranking = auc(scores, test.fraud)
    if ranking is not None and ranking < CHANCE:
        found.append(
            f"The model ranks hardly better than chance (AUC {ranking:.2f}): are the labels those of these payments?"
        )
    for one in by_typology:
        if one.auc >= SEPARATES:
            found.append(
                f"{one.feature} alone separates {one.typology} (AUC {one.auc:.3f}): a leak, or too easy a world."
            )
    rows = _sample(test)
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
