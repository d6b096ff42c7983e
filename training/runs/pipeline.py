"""The training pipeline: from a frame of labelled payments to a model, its policy and its report."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

from features.bundle.bundle import Bundle, Calibrator
from features.bundle.calibration import probabilities
from features.bundle.policy import Policy
from features.catalogue.catalogue import Catalogue
from features.errors import InvalidDeclaration
from training.data.arrays import Floats
from training.data.frame import Frame
from training.evaluation.report import EvaluationReport, evaluate
from training.model.calibrate import platt
from training.model.fit import Model, TreeDone, fit, margins, refit
from training.model.split import Split, split_by_time
from training.model.thresholds import cheapest_policy
from training.recipe import Recipe

MODEL_NAME = "risk"
Stage = Callable[[str], None]
"""Called with the name of each stage at its start."""


@dataclass(frozen=True)
class Trained:
    """The result of a training run and the test it was evaluated on."""

    dataset: str
    recipe_name: str
    recipe: Recipe
    catalogue: Catalogue
    model: Model
    calibrator: Calibrator
    policy: Policy
    report: EvaluationReport
    test: Frame
    test_scores: Floats
    trained_from: dt.datetime
    trained_until: dt.datetime
    learned_from: int
    data_digest: str = ""

    def bundle(self, version: str, run_id: str, feature_service: str) -> Bundle:
        """The bundle for serving, under a registered version."""
        return Bundle(
            name=MODEL_NAME,
            version=version,
            model_text=self.model.text,
            calibrator=self.calibrator,
            policy=self.policy,
            contract=self.catalogue.contract(),
            reasons=self.catalogue.reasons,
            feature_service=feature_service,
            trained={
                "run": run_id,
                "dataset": self.dataset,
                "recipe": self.recipe_name,
                "data_sha256": self.data_digest,
                "from": self.trained_from.isoformat(),
                "until": self.trained_until.isoformat(),
                "payments": str(self.learned_from),
                "code": version_of("riskgate"),
            },
        )


def train(
    payments: Frame,
    catalogue: Catalogue,
    recipe: Recipe,
    label_delay: dt.timedelta,
    *,
    dataset: str = "",
    recipe_name: str = "",
    data_digest: str = "",
    on_stage: Stage = lambda _: None,
    on_tree: TreeDone | None = None,
) -> Trained:
    """Fit, calibrate, choose the policy and evaluate all of it out of time.

    Raises:
        InvalidHistory: the history does not fill the recipe's periods.
        InvalidDeclaration: the recipe names unknown features.
    """
    on_stage("splitting by time")
    parts = split_by_time(payments, recipe.split, label_delay)

    on_stage("boosting")
    model = fit(parts.learn, parts.tune, recipe.model, catalogue, on_tree)

    on_stage("calibrating and choosing thresholds")
    calibrator = calibrate(model, parts.decide)
    policy = _policy(model, calibrator, parts, recipe, catalogue)

    if recipe.refit:
        on_stage("learning again from everything known")
        model = refit(parts.all_known(), model, recipe.model, catalogue, on_tree)

    on_stage("evaluating")
    scores = calibrated(model.margins(parts.test), calibrator)
    report = evaluate(scores, parts.test, policy, recipe.costs, recipe.reviews_per_day)
    return Trained(
        dataset=dataset,
        recipe_name=recipe_name,
        recipe=recipe,
        catalogue=catalogue,
        model=model,
        calibrator=calibrator,
        policy=policy,
        report=report,
        test=parts.test,
        test_scores=scores,
        trained_from=parts.learn.payments["event_time"].iloc[0].to_pydatetime(),
        trained_until=(parts.test_from - label_delay).to_pydatetime(),
        learned_from=len(parts.learn) + len(parts.tune) + len(parts.decide),
        data_digest=data_digest,
    )


def calibrate(model: Model, decide: Frame) -> Calibrator:
    """Platt scaling on payments that the model was not trained on."""
    slope, intercept = platt(model.margins(decide), decide.fraud)
    return Calibrator(slope=slope, intercept=intercept)


def calibrated(raw: Floats, calibrator: Calibrator) -> Floats:
    """Probabilities of raw margins."""
    return probabilities(raw, calibrator.slope, calibrator.intercept)


def score_with(bundle: Bundle, payments: Frame) -> Floats:
    """The scores of a bundle for the payments of a frame.

    Raises:
        InvalidDeclaration: the frame and the bundle have different features.
    """
    columns = tuple(name for name, _ in bundle.contract.columns)
    if columns != payments.names:
        raise InvalidDeclaration(
            [f"The frame has other features than {bundle.model_name}: replay the history with its catalogue."]
        )
    return calibrated(margins(bundle.model_text, payments.values), bundle.calibrator)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _policy(model: Model, calibrator: Calibrator, parts: Split, recipe: Recipe, catalogue: Catalogue) -> Policy:
    policy = cheapest_policy(
        calibrated(model.margins(parts.decide), calibrator),
        parts.decide.amounts,
        parts.decide.fraud,
        recipe.split.decide_days,
        recipe.costs,
        recipe.reviews_per_day,
        recipe.lower_tier_share,
        parts.decide.values[:, parts.decide.names.index("channel")],
        catalogue,
    )
    found = policy.problems(catalogue.names, catalogue.channels)
    if found:
        raise InvalidDeclaration(found)
    return policy
