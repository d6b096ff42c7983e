"""The full model and its baselines: one without window features, and a rule set."""

from __future__ import annotations

import msgspec
import numpy as np

from features.bundle.policy import DECISIONS, STARTER_RULES, Rule
from features.catalogue.catalogue import Catalogue
from training.data.arrays import Flags, Floats
from training.data.frame import Frame
from training.data.source_map import Dataset
from training.model.fit import Model, TreeDone, fit
from training.recipe import ModelParameters

_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal}


def parameters_of(dataset: Dataset, trees: int | None) -> ModelParameters:
    """The size of the model by the data set's recipe, with another number of trees if one is given."""
    usual = dataset.recipe("default").model
    return usual if trees is None else msgspec.structs.replace(usual, trees=trees)


def full_model(
    learn: Frame, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """The model of the whole catalogue; nothing stops it early."""
    return fit(learn, learn.rows(slice(0)), parameters, catalogue, on_tree)


def stateless_model(learn: Frame, parameters: ModelParameters, catalogue: Catalogue) -> Model:
    """The model on the payment and the profiles of its parties, without window features."""
    stateless = tuple(f.name for f in catalogue.features if f.group in ("request", "profile", "attribute"))
    return full_model(learn, msgspec.structs.replace(parameters, use=stateless), catalogue)


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
