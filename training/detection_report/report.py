"""The judgement: what is caught by story and segment, beside rivals, with what was never seen and what is doubted."""

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
from training.detection_report.baselines import everything, rule_score, without_story, without_windows
from training.detection_report.operating_point import BUDGET, Caught, Share, caught, threshold_at
from training.detection_report.periods import Periods
from training.detection_report.sanity_checks import Separation, doubts, separations
from training.model.calibrate import platt
from training.recipe import ModelParameters

NOTICE = (
    "Simulated payments: these figures prove that the machinery works, not how much real fraud would be found. "
    "Frauds and features were drawn by the same hands."
)
Stage = Callable[[str], None]


class StoryFigures(msgspec.Struct, frozen=True):
    """One story in the test: how much of all fraud it is and how much of it is caught."""

    story: str
    payments: int
    value_share: float
    seen_in_training: bool
    value_caught: Share
    count_caught: Share


class PartFigures(msgspec.Struct, frozen=True):
    """One part of the traffic: its fraud, what is caught of it, and how many of its good payments are disturbed."""

    segment: str
    part: str
    payments: int
    frauds: int
    value_caught: Share
    insulted: float


class Unseen(msgspec.Struct, frozen=True):
    """A story judged by a model that had it in training and by one that had never seen it."""

    story: str
    payments: int
    value_caught_seen: Share | None
    """None: the story began after everything that could be learned from."""
    value_caught_unseen: Share
    gap: float | None


class Festival(msgspec.Struct, frozen=True):
    """Good payments challenged or worse on 11/11 and on a normal day, at one threshold."""

    insulted: float
    insulted_on_a_normal_day: float
    insult_ratio: float | None
    value_caught: Share
    payments: int


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the report says; amounts in reference minor units."""

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
    by_story: tuple[StoryFigures, ...]
    by_segment: tuple[PartFigures, ...]
    unseen_story: tuple[Unseen, ...]
    festival: Festival | None
    single_features: tuple[Separation, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """The figures and what the pictures are drawn from."""

    judgement: Judgement
    scores: Floats
    rivals: dict[str, Floats]


def judge(
    parts: Periods, catalogue: Catalogue, parameters: ModelParameters, small_trees: int, version: int,
    world_payments: int, stage: Stage = lambda _: None,
) -> Judged:  # fmt: skip
    """Fit all rivals and judge them on what came later.

    Args:
        parts: the periods, checked here.
        catalogue: the features.
        parameters: the size of the model.
        small_trees: trees of the models that leave a story out, and of the one they are compared with; 0: none.
        version: of the world.
        world_payments: how many it holds.
        stage: told what is being done.

    Raises:
        InvalidHistory: the periods are not in order of time.
    """
    parts.check()
    test, fraud, amounts = parts.test, parts.test.fraud, parts.test.amounts
    payers = pd.factorize(test.payments["payer_id"])[0].astype(np.int64)
    stage("learning with everything")
    model = everything(parts, parameters, catalogue)
    # a threshold needs no calibration, but the report's scores should be probabilities
    slope, intercept = platt(model.margins(parts.decide), parts.decide.fraud)
    scores = probabilities(model.margins(test), slope, intercept)
    chosen_before = threshold_at(probabilities(model.margins(parts.decide), slope, intercept), ~parts.decide.fraud)
    stage("learning without window features")
    stateless = without_windows(parts, parameters, catalogue).margins(test)
    rivals = {"without_windows": stateless, "rules": rule_score(test, catalogue)}
    full = caught(scores, fraud, payers)
    everyone: Flags = np.ones(len(test), np.bool_)
    value, count = full.share(everyone, amounts), full.share(everyone, np.ones(len(test)))
    baselines = {name: caught(rival, fraud, payers).share(everyone, amounts) for name, rival in rivals.items()}
    told = separations(test, parts.stories)
    without = baselines["without_windows"].value
    before = scores > chosen_before
    return Judged(
        Judgement(
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
            by_story=_by_story(parts, full),
            by_segment=_by_segment(parts, full),
            unseen_story=_unseen(parts, catalogue, parameters, small_trees, payers, stage),
            festival=_festival(parts, full),
            single_features=told,
            doubts=tuple(doubts(test, scores, told, value.value, without)),
        ),
        scores,
        rivals,
    )


def _of(part: Flags, whole: Flags, worth: Floats) -> float | None:
    total = float(worth[whole].sum())
    return float(worth[part].sum()) / total if total else None


def _by_story(parts: Periods, full: Caught) -> tuple[StoryFigures, ...]:
    amounts, fraud = parts.test.amounts, parts.test.fraud
    learned = set(parts.learn_stories[parts.learn.fraud]) - {None}
    found = []
    for story in sorted({s for s in parts.stories if s is not None}):
        here: Flags = parts.stories == story
        found.append(
            StoryFigures(
                story, int(here.sum()), float(amounts[here].sum() / amounts[fraud].sum()), story in learned,
                full.share(here, amounts), full.share(here, np.ones(len(amounts))),
            )
        )  # fmt: skip
    return tuple(found)


def _by_segment(parts: Periods, full: Caught) -> tuple[PartFigures, ...]:
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
) -> tuple[Unseen, ...]:
    if not trees:
        return ()
    small = msgspec.structs.replace(parameters, trees=min(trees, parameters.trees), learning_rate=0.1)
    fraud, amounts = parts.test.fraud, parts.test.amounts
    learned = set(parts.learn_stories[parts.learn.fraud]) - {None}
    stage("learning the smaller model that unseen stories are compared with")
    seen = caught(everything(parts, small, catalogue).margins(parts.test), fraud, payers)
    found = []
    for story in sorted({s for s in parts.stories if s is not None}):
        here: Flags = parts.stories == story
        if story not in learned:
            share = seen.share(here, amounts)
            found.append(Unseen(story, int(here.sum()), None, share, None))
            continue
        stage(f"learning without ever having seen {story}")
        model = without_story(parts, story, small, catalogue)
        share, known = caught(model.margins(parts.test), fraud, payers).share(here, amounts), seen.share(here, amounts)
        gap = known.value - share.value if known.value is not None and share.value is not None else None
        found.append(Unseen(story, int(here.sum()), known, share, gap))
    return tuple(found)


def _festival(parts: Periods, full: Caught) -> Festival | None:
    sale, good = parts.test.payments["sale"].to_numpy(), ~parts.test.fraud
    day: Flags = sale == 1.0
    if not day.any():
        return None
    insulted = float(full.above[day & good].mean())
    normal = float(full.above[(sale == 0) & good].mean())
    ratio = insulted / normal if normal > 0 else None
    return Festival(insulted, normal, ratio, full.share(day, parts.test.amounts), int(day.sum()))
