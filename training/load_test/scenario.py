"""The scenario of the load test: world, model and payments."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.bundle.bundle import Bundle, Calibrator, write_bundle
from features.bundle.calibration import probabilities
from features.bundle.policy import Band, Policy
from features.catalogue.catalogue import Catalogue
from features.feast_store.views import service_name
from features.history.schema import times_ms
from features.state.columns import amounts_of
from training.client.replay_requests import before, payment_message
from training.data.arrays import Floats
from training.data.source_map import load
from training.detection_report.baselines import full_model, parameters_of
from training.detection_report.operating_point import BUDGET, threshold_at
from training.detection_report.periods import PeriodPlan, periods
from training.model.calibrate import platt
from training.runs.run import Listener
from training.simulator import storage
from training.simulator.manifest import read_manifest
from training.simulator.parameters import DAY_MS, World

EVE = dt.date(2026, 11, 10)
NORMAL = (dt.timedelta(hours=0), dt.timedelta(hours=23, minutes=30))
"""The day before, without a sale: the baseline of 11/11."""
NIGHT = (dt.timedelta(hours=23, minutes=30), dt.timedelta(hours=26))
"""From half an hour before midnight to two hours after it."""
DAY = (dt.timedelta(hours=26), dt.timedelta(hours=48))
"""The rest of 11/11."""
SMALL = World(
    payments=160_000, days=82, start=dt.date(2026, 8, 23), payers=8_000, stores=30_000, local_brands=4_000,
    international_brands=800, new_merchants_per_day=15, fraud_share=0.004,
)  # fmt: skip
SMALL_PLAN = PeriodPlan(warm_up_days=14, decide_days=10, gap_days=14, test_days=3, honest_share=1 / 4)
"""For a quick test; otherwise the world and the periods are those of `evaluate-world`."""
REVIEW_SHARE, DECLINE_SHARE = 0.25, 0.05
"""Shares of the false-positive budget for review and for decline."""


@dataclass(frozen=True)
class Scenario:
    """Inputs of the load test: the history and the truth of its payments."""

    history: pa.Table
    typologies: list[str | None]
    amounts: Floats
    world: World

    def rows(self, span: tuple[dt.timedelta, dt.timedelta]) -> tuple[int, int]:
        """The row range (end exclusive) of a span, given as offsets from midnight of the eve in India."""
        first, last = self.span_ms(span)
        low, high = np.searchsorted(times_ms(self.history["event_time"]), [first, last])
        return int(low), int(high)

    def span_ms(self, span: tuple[dt.timedelta, dt.timedelta]) -> tuple[int, int]:
        """The span in ms UTC."""
        eve = self.world.start_ms + (EVE - self.world.start).days * DAY_MS
        return tuple(eve + int(moment.total_seconds() * 1000) for moment in span)  # type: ignore[return-value]

    def bodies(self, rows: tuple[int, int]) -> list[bytes]:
        """The request bodies of a row range."""
        return [payment_message(values)[1] for values in self.history.slice(rows[0], rows[1] - rows[0]).to_pylist()]


def prepare(folder: Path, world: World, plan: PeriodPlan, listener: Listener, trees: int | None = None) -> Scenario:
    """Simulate, train on earlier periods, and set thresholds by the false-positive budget of a normal period.

    Args:
        folder: gets `world/`, `bundle/`, `past.parquet`.
        world: must hold the night of 11/11.
        plan: its periods; the night lies in the last one.
        listener: called with progress.
        trees: of the model; None: as in the recipe.
    """
    place = folder / "world"
    listener.stage("living through the weeks before")
    found = read_manifest(place)
    fresh = found is not None and found.digest != world.digest
    storage.write_world(world, place, fresh=fresh, on_day=listener.advance or (lambda _: None))
    profiles = storage.read_profiles(place)
    dataset = load("world")
    catalogue = Catalogue(dataset.catalogue_parameters())
    listener.stage("replaying the history")
    parts = periods(place, world, catalogue, profiles, plan, listener.advance)
    listener.stage("learning")
    model = full_model(parts.learn, parameters_of(dataset, trees), catalogue, listener.trees)
    slope, intercept = platt(model.margins(parts.decide), parts.decide.fraud)
    scores = probabilities(model.margins(parts.decide), slope, intercept)
    good = ~parts.decide.fraud
    cuts = [
        float(np.nextafter(threshold_at(scores, good, BUDGET * s), 1.0)) for s in (1.0, REVIEW_SHARE, DECLINE_SHARE)
    ]
    small, large = (int(v) for v in np.quantile(parts.decide.amounts, (0.5, 0.995)))
    policy = Policy(
        challenge_at=cuts[0], review_at=cuts[1], decline_at=cuts[2],
        default_bands=(Band(small, "approve"), Band(max(large, small + 1), "challenge"), Band(None, "review")),
        lower_tier_approve_up_to_minor=small,
    )  # fmt: skip

    bundle = Bundle(
        name="risk", version="festival", model_text=model.text,
        calibrator=Calibrator(slope=slope, intercept=intercept), policy=policy, contract=catalogue.contract(),
        reasons=catalogue.reasons, feature_service=service_name(catalogue),
        trained={"dataset": dataset.name, "world": world.digest, "until": EVE.isoformat()},
    )  # fmt: skip
    write_bundle(bundle, folder / "bundle")
    history = storage.read_history(place)
    typologies, amounts = storage.read_truth(place)["story"].to_pylist(), amounts_of(history, catalogue)
    ready = Scenario(history, typologies, amounts.astype(np.float64), world)
    pq.write_table(before(history, ready.span_ms(NORMAL)[0]), folder / "past.parquet", compression="lz4")
    return ready
