"""Reasons: exact SHAP contributions grouped into the catalogue's reason families, as sentences; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from serving.decision.rules import SCORE, Hit, Listed

MOST_REASONS = 4
_LIST_SENTENCES = {
    "block": "The {entity} of this payment is on the block list.",
    "allow": "The {entity} of this payment is on the allow list.",
    "watch": "The {entity} of this payment is on the watch list.",
}


class Reason(msgspec.Struct, frozen=True):
    """One reason: a stable code, a sentence, the strongest feature of its family and that feature's value as served."""

    code: str
    text: str
    feature: str | None
    value: float | None
    contribution: Annotated[float | None, Meta(description="Share of the score in log-odds; null for a rule.")]


class Families:
    """The catalogue's columns grouped by reason code."""

    def __init__(self, names: Sequence[str], codes: Sequence[str], sentences: Mapping[str, str]) -> None:
        self._names = tuple(names)
        self._codes = tuple(sorted(set(codes)))
        position = {code: place for place, code in enumerate(self._codes)}
        self._family = np.array([position[code] for code in codes], dtype=np.intp)
        self._sentences = {code: sentences[code] for code in self._codes}

    def strongest(self, contributions: npt.NDArray[np.float64], values: Sequence[float]) -> list[Reason]:
        """The families that raise the score, strongest first, at most four.

        `contributions` is float64[columns + 1] as the scorer gives it, `values` the vector as served.
        """
        own = contributions[:-1]
        totals = np.bincount(self._family, weights=own, minlength=len(self._codes))
        reasons = []
        # A stable sort by descending total: ties keep the order of the codes, so a replay gives the same reasons.
        for family in np.argsort(-totals, kind="stable")[:MOST_REASONS]:
            total = float(totals[family])
            if not total > 0.0:
                break
            columns = np.flatnonzero(self._family == family)
            column = int(columns[np.argmax(own[columns])])
            code = self._codes[family]
            reasons.append(
                Reason(code, self._sentences[code], self._names[column], known(values[column]), round(total, 6))
            )
        return reasons

    def of_rule(self, hit: Hit, values: Sequence[float]) -> Reason:
        """The rule's own sentence as a reason."""
        if hit.column == SCORE or not values:
            return Reason(f"RULE_{hit.name.upper()}", hit.sentence, None, None, None)
        return Reason(
            f"RULE_{hit.name.upper()}", hit.sentence, self._names[hit.column], known(values[hit.column]), None
        )


def of_list(listed: Listed) -> Reason:
    """The reason that a list decided."""
    text = _LIST_SENTENCES[listed.kind].format(entity=listed.entity)
    return Reason(f"{listed.kind.upper()}_LIST", text, None, None, None)


#: The reason of a decision by amount band.
BY_AMOUNT_BAND = Reason(
    "DEFAULT_POLICY", "The payment could not be scored in time; its amount decided.", None, None, None
)
#: The reason when only rules were evaluated and the amount is above their limit.
WITHOUT_MODEL = Reason("NOT_SCORED", "The model could not be asked in time and the amount is large.", None, None, None)
#: The reason when the exposure limit of the minute is used up.
EXPOSURE_USED_UP = Reason(
    "EXPOSURE_USED_UP", "As much as a minute allows was already approved without a score.", None, None, None
)


def known(value: float) -> float | None:
    """None for NaN, which means missing inside the service.

    >>> known(float("nan")) is None, known(0.0)
    (True, 0.0)
    """
    return None if math.isnan(value) else value
