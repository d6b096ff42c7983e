"""Trains LightGBM within the size limits that keep exact SHAP contributions fast; runs are reproducible bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import lightgbm as lgb
import numpy as np

from features.catalogue.catalogue import Catalogue
from features.errors import InvalidDeclaration
from training.data.arrays import Floats
from training.data.frame import Frame
from training.recipe import ModelParameters

GAPS = 50
"""Codes are sparse if the largest exceeds this multiple of their number; LightGBM warns at 100, on a sample."""

TreeDone = Callable[[int, int], None]
"""Called with (trees done, trees at most) after each tree."""


@dataclass(frozen=True)
class Model:
    """A trained booster: its text (stored and served), its columns and its number of trees."""

    text: str
    names: tuple[str, ...]
    trees: int

    def margins(self, payments: Frame) -> Floats:
        """Raw scores (log odds before calibration) of payments, float64[n].

        Raises:
            InvalidDeclaration: the frame has other columns than the model.
        """
        if payments.names != self.names:
            raise InvalidDeclaration(["The frame has other features than the model: replay with its catalogue."])
        return margins(self.text, payments.values)

    def gains(self) -> dict[str, float]:
        """Total gain of each used feature, largest first."""
        gains = self._booster().feature_importance("gain")
        ranked = sorted(zip(self.names, gains, strict=True), key=lambda pair: -pair[1])
        return {name: float(gain) for name, gain in ranked if gain > 0}

    def _booster(self) -> Any:
        return lgb.Booster(model_str=self.text)


def margins(model_text: str, values: Floats) -> Floats:
    """Raw scores of float64[n, features] from a model's text."""
    booster = lgb.Booster(model_str=model_text)
    return np.asarray(booster.predict(values, raw_score=True), dtype=np.float64)


def fit(
    learn: Frame,
    tune: Frame,
    parameters: ModelParameters,
    catalogue: Catalogue,
    on_tree: TreeDone | None = None,
) -> Model:
    """Boost on `learn` with early stopping on the average precision of `tune` (an empty `tune` never stops it).

    Raises:
        InvalidDeclaration: a parameter names a feature that the catalogue does not have.
    """
    _refuse_unknown_features(parameters, catalogue)
    data = _dataset(learn, parameters, catalogue)
    callbacks: list[Any] = [_reporter(on_tree, parameters.trees)] if on_tree else []
    watched = []
    if len(tune):
        watched = [lgb.Dataset(tune.values, label=tune.fraud.astype(np.float64), reference=data)]
        callbacks.append(lgb.early_stopping(parameters.patience, verbose=False))
    booster = lgb.train(
        _native(parameters, catalogue),
        data,
        num_boost_round=parameters.trees,
        valid_sets=watched,
        callbacks=callbacks,
    )
    trees = booster.best_iteration if watched and booster.best_iteration > 0 else booster.current_iteration()
    return Model(booster.model_to_string(num_iteration=trees), catalogue.names, trees)


def refit(
    known: Frame, model: Model, parameters: ModelParameters, catalogue: Catalogue, on_tree: TreeDone | None = None
) -> Model:
    """Train again on all labelled payments, with the number of trees of `model`."""
    data = _dataset(known, parameters, catalogue)
    callbacks: list[Any] = [_reporter(on_tree, model.trees)] if on_tree else []
    booster = lgb.train(_native(parameters, catalogue), data, num_boost_round=model.trees, callbacks=callbacks)
    return Model(booster.model_to_string(), catalogue.names, booster.current_iteration())


def left_out(parameters: ModelParameters, catalogue: Catalogue) -> frozenset[str]:
    """Names of the features that the model may not use."""
    kept = tuple(parameters.use) or ("*",)
    return frozenset(
        name
        for name in catalogue.names
        if not any(fnmatchcase(name, pattern) for pattern in kept)
        or any(fnmatchcase(name, pattern) for pattern in parameters.leave_out)
    )


def _refuse_unknown_features(parameters: ModelParameters, catalogue: Catalogue) -> None:
    problems = [
        f"model.{place} names {pattern}, which matches no feature of the catalogue: correct or remove it."
        for place in ("use", "leave_out", "monotone")
        for pattern in getattr(parameters, place)
        if not any(fnmatchcase(name, pattern) for name in catalogue.names)
    ]
    if not problems and len(left_out(parameters, catalogue)) == len(catalogue.names):
        problems = ["model.use and model.leave_out leave no feature: widen them."]
    if problems:
        raise InvalidDeclaration(problems)


def _dataset(payments: Frame, parameters: ModelParameters, catalogue: Catalogue) -> Any:
    fraud = payments.fraud.astype(np.float64)
    weights = np.where(fraud > 0, parameters.fraud_weight, 1.0) if parameters.fraud_weight != 1 else None
    codes = [i for i, feature in enumerate(catalogue.features) if feature.is_code]
    native = _native(parameters, catalogue)
    if any(_is_sparse(payments.values[:, code]) for code in codes):
        # LightGBM warns about gaps between codes, and applies `verbosity` to the calling thread only
        native["num_threads"] = 1
    data = lgb.Dataset(
        payments.values,
        label=fraud,
        weight=weights,
        feature_name=list(catalogue.names),
        categorical_feature=codes,
        params=native,
    )
    return data.construct()


def _is_sparse(codes: Floats) -> bool:
    """Whether LightGBM would warn about these codes: the largest is many times their number."""
    known = np.unique(codes[~np.isnan(codes)])
    return known.size > 0 and bool(known[-1] > GAPS * known.size)


def _native(parameters: ModelParameters, catalogue: Catalogue) -> dict[str, Any]:
    """The parameters under LightGBM's names."""
    native: dict[str, Any] = {
        "objective": "binary",
        "metric": "average_precision",
        "max_depth": parameters.depth,
        "num_leaves": parameters.leaves,
        "learning_rate": parameters.learning_rate,
        "min_data_in_leaf": parameters.rows_per_leaf,
        "min_sum_hessian_in_leaf": parameters.hessian_per_leaf,
        "feature_fraction": parameters.features_per_tree,
        "bagging_fraction": parameters.rows_per_tree,
        "bagging_freq": 1 if parameters.rows_per_tree < 1 else 0,
        "lambda_l1": parameters.l1,
        "lambda_l2": parameters.l2,
        "min_gain_to_split": parameters.gain_per_split,
        "max_bin": parameters.bins,
        "path_smooth": parameters.smoothing,
        "extra_trees": parameters.extra_random,
        "seed": parameters.seed,
        "num_threads": parameters.threads,
        "deterministic": True,
        "force_row_wise": True,  # the choice by timing would differ from run to run
        "verbosity": -1,
    }
    if parameters.monotone:
        native["monotone_constraints"] = [parameters.monotone.get(name, 0) for name in catalogue.names]
    unused = left_out(parameters, catalogue)
    if unused:
        # a gain factor of 0 prevents splits on the feature; the column stays
        native["feature_contri"] = [0.0 if name in unused else 1.0 for name in catalogue.names]
    return native


def _reporter(on_tree: TreeDone, trees: int) -> Callable[[Any], None]:
    def report(env: Any) -> None:
        on_tree(env.iteration + 1, trees)

    return report
