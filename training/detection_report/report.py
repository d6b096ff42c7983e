"""The detection report: fraud caught by typology and segment, compared with baselines, with reasons to doubt it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd

from features.bundle.calibration import probabilities
from features.catalogue.catalogue import Catalogue
from training.data.arrays import Flags, Floats
from training.data.slices import SEGMENTS
from training.detection_report.baselines import full_model, rule_score, stateless_model
from training.detection_report.operating_point import BUDGET, OperatingPoint, Share, operating_point, threshold_at
from training.detection_report.periods import Periods
from training.detection_report.sanity_checks import Separation, doubts, separations
from training.model.calibrate import platt
from training.recipe import ModelParameters

NOTICE = (
    "Simulated payments: these figures prove that the machinery works, not how much real fraud would be found. "
    "Frauds and features were drawn by the same hands."
)
Stage = Callable[[str], None]


class TypologyFigures(msgspec.Struct, frozen=True, rename={"typology": "story"}):
    """One typology in the test: its share of all fraud and the share of it that is caught."""

    typology: str
    payments: int
    value_share: float
    seen_in_training: bool
    value_caught: Share
    count_caught: Share


class PartFigures(msgspec.Struct, frozen=True):
    """One part of the traffic: its fraud, the share caught, and the share of its good payments that are disturbed."""

    segment: str
    part: str
    payments: int
    frauds: int
    value_caught: Share
    insulted: float


class UnseenTypology(msgspec.Struct, frozen=True, rename={"typology": "story"}):
    """A typology scored by a model that was trained with it and by one that was trained without it."""

    typology: str
    payments: int
    value_caught_seen: Share | None
    """None: the typology began after the learn period."""
    value_caught_unseen: Share
    gap: float | None


class Festival(msgspec.Struct, frozen=True):
    """Good payments challenged or worse on 11/11 and on a normal day, at one threshold."""

    insulted: float
    insulted_on_a_normal_day: float
    insult_ratio: float | None
    value_caught: Share
    payments: int


class DetectionReport(
    msgspec.Struct, frozen=True, kw_only=True, rename={"by_typology": "by_story", "unseen_typology": "unseen_story"}
):
    """All figures of the report; amounts in reference minor units."""

    notice: str = NOTICE
    world_digest: str
    world_version: int
    world_payments: int
    first_day: str
    last_day: str
    learned_from: int
    payments: int
    frauds: int
    fraud_minor: int
    budget: float
    value_caught_at_budget: float | None
    value_caught_interval: tuple[float | None, float | None]
    count_caught_at_budget: float | None
    value_caught_at_threshold_chosen_before: float | None
    insulted_at_threshold_chosen_before: float
    baselines: dict[str, Share]
    """Value caught at the same budget."""
    stateless_to_full: float | None
    by_typology: tuple[TypologyFigures, ...]
    by_segment: tuple[PartFigures, ...]
    unseen_typology: tuple[UnseenTypology, ...]
    festival: Festival | None
    single_features: tuple[Separation, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class DetectionResult:
    """The report, and the scores that the plots need."""

    report: DetectionReport
    scores: Floats
    baseline_scores: dict[str, Floats]


def judge(
    parts: Periods, catalogue: Catalogue, parameters: ModelParameters, small_trees: int, version: int,
    world_payments: int, stage: Stage = lambda _: None,
) -> DetectionResult:  # fmt: skip
    """Fit the model and its baselines and evaluate them on the test period.

    Args:
        parts: the periods, checked here.
        catalogue: the features.
        parameters: the size of the model.
        small_trees: trees of the models without one typology, and of the model they are compared with; 0: none.
        version: of the world.
        world_payments: how many it holds.
        stage: called with the name of each stage.

    Raises:
        InvalidHistory: the periods are not in order of time.
    """
    parts.check()
    test, fraud, amounts = parts.test, parts.test.fraud, parts.test.amounts
    payers = pd.factorize(test.payments["payer_id"])[0].astype(np.int64)
    stage("learning with everything")
    model = full_model(parts.learn, parameters, catalogue)
    # thresholds need no calibration, but the report's scores should be probabilities
    slope, intercept = platt(model.margins(parts.decide), parts.decide.fraud)
    scores = probabilities(model.margins(test), slope, intercept)
    chosen_before = threshold_at(probabilities(model.margins(parts.decide), slope, intercept), ~parts.decide.fraud)
    stage("learning without window features")
    stateless = stateless_model(parts.learn, parameters, catalogue).margins(test)
    baseline_scores = {"without_windows": stateless, "rules": rule_score(test, catalogue)}
    full = operating_point(scores, fraud, payers)
    everyone: Flags = np.ones(len(test), np.bool_)
    value, count = full.share(everyone, amounts), full.share(everyone, np.ones(len(test)))
    baselines = {
        name: operating_point(rival, fraud, payers).share(everyone, amounts) for name, rival in baseline_scores.items()
    }
    single_features = separations(test, parts.typologies)
    without = baselines["without_windows"].value
    before = scores > chosen_before
    return DetectionResult(
        DetectionReport(
            world_digest=parts.world.digest,
            world_version=version,
            world_payments=world_payments,
            first_day=f"{test.payments['event_time'].iloc[0]:%Y-%m-%d}",
            last_day=f"{test.payments['event_time'].iloc[-1]:%Y-%m-%d}",
            learned_from=len(parts.learn),
            payments=len(test),
            frauds=int(fraud.sum()),
            fraud_minor=int(amounts[fraud].sum()),
            budget=BUDGET,
            value_caught_at_budget=value.value,
            value_caught_interval=(value.low, value.high),
            count_caught_at_budget=count.value,
            value_caught_at_threshold_chosen_before=_of(before & fraud, fraud, amounts),
            insulted_at_threshold_chosen_before=float(before[~fraud].mean()),
            baselines=baselines,
            stateless_to_full=without / value.value if without is not None and value.value else None,
            by_typology=_by_typology(parts, full),
            by_segment=_by_segment(parts, full),
            unseen_typology=_unseen(parts, catalogue, parameters, small_trees, payers, stage),
            festival=_festival(parts, full),
            single_features=single_features,
            doubts=tuple(doubts(test, scores, single_features, value.value, without)),
        ),
        scores,
        baseline_scores,
    )


def _of(part: Flags, whole: Flags, worth: Floats) -> float | None:
    total = float(worth[whole].sum())
    return float(worth[part].sum()) / total if total else None


def _by_typology(parts: Periods, full: OperatingPoint) -> tuple[TypologyFigures, ...]:
    amounts, fraud = parts.test.amounts, parts.test.fraud
    found = []
    for typology in parts.tested:
        here: Flags = parts.typologies == typology
        found.append(
            TypologyFigures(
                typology, int(here.sum()), float(amounts[here].sum() / amounts[fraud].sum()), typology in parts.learned,
                full.share(here, amounts), full.share(here, np.ones(len(amounts))),
            )
        )  # fmt: skip
    return tuple(found)


def _by_segment(parts: Periods, full: OperatingPoint) -> tuple[PartFigures, ...]:
    test, amounts = parts.test, parts.test.amounts
    columns = {name: test.payments[name] for name in SEGMENTS}
    sale = pd.cut(test.payments["sale"], [-1, 0, 0.99, 1], labels=["ordinary day", "small sale", "11/11"])
    found = []
    for segment, column in {**columns, "festival": sale}.items():
        for code, part in enumerate(column.cat.categories):
            here: Flags = column.cat.codes.to_numpy() == code
            good = here & ~test.fraud
            if here.any():
                found.append(
                    PartFigures(
                        segment, str(part), int(here.sum()), int((here & test.fraud).sum()),
                        full.share(here, amounts), float(full.above[good].mean()) if good.any() else 0.0,
                    )
                )  # fmt: skip
    return tuple(found)


def _unseen(
    parts: Periods, catalogue: Catalogue, parameters: ModelParameters, trees: int, payers: np.ndarray, stage: Stage
) -> tuple[UnseenTypology, ...]:
    if not trees:
        return ()
    small = msgspec.structs.replace(parameters, trees=min(trees, parameters.trees), learning_rate=0.1)
    fraud, amounts = parts.test.fraud, parts.test.amounts
    stage("learning the smaller model that is compared with those without a story")
    seen = operating_point(full_model(parts.learn, small, catalogue).margins(parts.test), fraud, payers)
    found = []
    for typology in parts.tested:
        here: Flags = parts.typologies == typology
        known, unseen = None, seen  # a typology that began later is new to the model of all too
        if typology in parts.learned:
            stage(f"learning without ever having seen {typology}")
            model = full_model(parts.learn.rows(parts.learn_typologies != typology), small, catalogue)
            known, unseen = seen.share(here, amounts), operating_point(model.margins(parts.test), fraud, payers)
        share = unseen.share(here, amounts)
        gap = known.value - share.value if known and known.value is not None and share.value is not None else None
        found.append(UnseenTypology(typology, int(here.sum()), known, share, gap))
    return tuple(found)


def _festival(parts: Periods, full: OperatingPoint) -> Festival | None:
    sale, good = parts.test.payments["sale"].to_numpy(), ~parts.test.fraud
    day: Flags = sale == 1.0
    if not day.any():
        return None
    insulted = float(full.above[day & good].mean())
    normal = float(full.above[(sale == 0) & good].mean())
    ratio = insulted / normal if normal > 0 else None
    return Festival(insulted, normal, ratio, full.share(day, parts.test.amounts), int(day.sum()))
