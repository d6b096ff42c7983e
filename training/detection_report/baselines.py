"""Baselines: the full model, one without window features, one trained without a typology, a rule set."""

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


def full_model(
    parts: Periods, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """The model of the whole catalogue."""
    return fit(parts.learn, _none(parts.learn), parameters, catalogue, on_tree)


def stateless_model(
    parts: Periods, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """The model on the payment and the profiles of its parties, without window features."""
    stateless = tuple(f.name for f in catalogue.features if f.group in ("request", "profile", "attribute"))
    return fit(parts.learn, _none(parts.learn), msgspec.structs.replace(parameters, use=stateless), catalogue, on_tree)


def model_without(
    parts: Periods, typology: str, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """The model trained without the payments of one typology."""
    return fit(
        _rows(parts.learn, parts.learn_typologies != typology), _none(parts.learn), parameters, catalogue, on_tree
    )


def rule_score(test: Frame, catalogue: Catalogue, rules: tuple[Rule, ...] = STARTER_RULES) -> Floats:
    """A rule set as a ranking: by the strictest matching action, then the number of matches, then the amount."""
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
