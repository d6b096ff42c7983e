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
    known = sorted({name for name in typologies if name is not None})
    rows_of = {typology: np.flatnonzero(typologies == typology) for typology in known}
    best: dict[str, tuple[float, str]] = {}
    for place, name in enumerate(test.names):
        if features is not None and name not in features:
            continue
        column = test.values[:, place]
        ordinary = _Sorted(column[honest])  # once for all typologies: sorting is what takes time
        for typology, fraudulent in rows_of.items():
            best[typology] = max(best.get(typology, (0.0, "")), (ordinary.separation(column[fraudulent]), name))
    return tuple(Separation(typology, name, area) for typology, (area, name) in best.items())


def _sample(test: Frame) -> Integers:
    """Rows of every fraud and of up to HONEST_SAMPLE evenly spaced honest payments."""
    honest = np.flatnonzero(~test.fraud)
    return np.sort(np.concatenate([np.flatnonzero(test.fraud), honest[:: max(len(honest) // HONEST_SAMPLE, 1)]]))


def separation(values: Floats, positive: Flags) -> float:
    """AUC of one feature in its better direction, with missing values as lowest or highest."""
    return _Sorted(values[~positive]).separation(values[positive])


class _Sorted:
    """Values of one feature in order, for the area under the ROC curve of others against them.

    The area is the share of pairs in the right order, a tie counting half: whole numbers until the last division.
    """

    def __init__(self, values: Floats) -> None:
        known = values[~np.isnan(values)]
        self.known, self.missing = np.sort(known), len(values) - len(known)

    def separation(self, others: Floats) -> float:
        """AUC of the others against these in the better direction; 0.5 where one side is empty."""
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
