"""Who competes: the model with everything, one without window features, a plain rule set, and one that has
never seen a story.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from features.bundle.policy import DECISIONS, STARTER_RULES, Rule
from features.catalogue.catalogue import Catalogue
from training.data.arrays import Flags, Floats
from training.data.frame import Frame
from training.detection_report.periods import Periods
from training.model.fit import Model, TreeDone, fit
from training.recipe import ModelParameters

_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal}


def everything(
    parts: Periods, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """The model of the whole catalogue."""
    return fit(parts.learn, _none(parts.learn), parameters, catalogue, on_tree)


def without_windows(
    parts: Periods, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """The model that sees the payment and the profiles of its parties, but nothing of the past."""
    stateless = tuple(f.name for f in catalogue.features if f.group in ("request", "profile", "attribute"))
    return fit(parts.learn, _none(parts.learn), msgspec.structs.replace(parameters, use=stateless), catalogue, on_tree)


def without_story(
    parts: Periods, story: str, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """The model of a world in which a story had never happened before the test."""
    return fit(_rows(parts.learn, parts.learn_stories != story), _none(parts.learn), parameters, catalogue, on_tree)


def rule_score(test: Frame, catalogue: Catalogue, rules: tuple[Rule, ...] = STARTER_RULES) -> Floats:
    """A plain rule set as a ranking: the strictest action that matches, then how many match, then the amount."""
    strictest, matches = np.zeros(len(test)), np.zeros(len(test))
    for rule in rules:
        hit: Flags = np.ones(len(test), np.bool_)
        for feature, operator, value in rule.when:
            column = test.values[:, catalogue.index[feature]]
            hit &= _COMPARE[operator](column, value) & ~np.isnan(column)  # a missing feature never matches
        strictest = np.where(hit, np.maximum(strictest, DECISIONS.index(rule.action)), strictest)
        matches += hit
    amount = np.argsort(np.argsort(test.amounts, kind="stable"), kind="stable") / max(len(test), 1)
    return np.asarray(100.0 * strictest + matches + 0.9 * amount, np.float64)


def _rows(frame: Frame, at: Flags) -> Frame:
    return replace(frame, payments=frame.payments[at], values=frame.values[at])


def _none(frame: Frame) -> Frame:
    """An empty period: the number of trees is fixed."""
    return replace(frame, payments=frame.payments.iloc[:0], values=frame.values[:0])
