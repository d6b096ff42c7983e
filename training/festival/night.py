"""The world, the model and the payments of the rehearsal."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.bundle import Bundle, Calibrator, write_bundle
from features.calibration import probabilities
from features.catalog import catalog
from features.encode import amounts_of
from features.history import times_ms
from features.policy import Band, Policy
from features.profiles import ProfileFile
from features.views import service_name
from training.calibrate import platt
from training.caught.budget import BUDGET, threshold_at
from training.caught.periods import Plan, periods
from training.caught.rivals import everything
from training.mapping import load
from training.run import Listener
from training.shapes import Floats
from training.stream import before, payment_message
from training.world import written
from training.world.manifest import read_manifest
from training.world.parameters import DAY_MS, HOUR_MS, World

EVE = dt.date(2026, 11, 10)
NORMAL = (dt.timedelta(hours=0), dt.timedelta(hours=23, minutes=30))
"""A day without a sale; what it sends is what 11/11 is compared with."""
NIGHT = (dt.timedelta(hours=23, minutes=30), dt.timedelta(hours=26))
"""From half an hour before midnight to two hours after it."""
DAY = (dt.timedelta(hours=26), dt.timedelta(hours=48))
"""The rest of 11/11."""
SMALL = World(
    payments=160_000, days=82, start=dt.date(2026, 8, 23), payers=8_000, stores=30_000, local_brands=4_000,
    international_brands=800, new_merchants_per_day=15, fraud_share=0.004,
)  # fmt: skip
SMALL_PLAN = Plan(warm_up_days=14, decide_days=10, gap_days=14, test_days=3, honest_share=1 / 4)
"""For a quick look; else the night is one of the default world, and its model learned in the periods of
`evaluate-world`."""
REVIEW_SHARE, DECLINE_SHARE = 0.25, 0.05
"""Of the budget: how much of it may be reviewed or declined."""


@dataclass(frozen=True)
class Prepared:
    """What the rehearsal needs: a bundle, the past, the payments to come and the truth about them."""

    folder: Path
    history: pa.Table
    stories: list[str | None]
    amounts: Floats
    world: World

    def rows(self, span: tuple[dt.timedelta, dt.timedelta]) -> tuple[int, int]:
        """First and past the last row of a span of the eve, given as times of day in India."""
        first, last = self.span_ms(span)
        low, high = np.searchsorted(times_ms(self.history["event_time"]), [first, last])
        return int(low), int(high)

    def span_ms(self, span: tuple[dt.timedelta, dt.timedelta]) -> tuple[int, int]:
        """The span in ms UTC."""
        eve = self.world.start_ms + (EVE - self.world.start).days * DAY_MS
        return tuple(eve + int(moment.total_seconds() * 1000) for moment in span)  # type: ignore[return-value]

    def bodies(self, rows: tuple[int, int]) -> list[bytes]:
        """The requests of some rows."""
        return [payment_message(values)[1] for values in self.history.slice(rows[0], rows[1] - rows[0]).to_pylist()]


def prepare(folder: Path, world: World, plan: Plan, listener: Listener, trees: int | None = None) -> Prepared:
    """Simulate, learn from what was known long before, and set thresholds by the budget of a normal period.

    Args:
        folder: gets `world/`, `bundle/`, `past.parquet`.
        world: must hold the night of 11/11.
        plan: its periods; the night lies in the last one.
        listener: told about progress.
        trees: of the model; None: what the recipe says.
    """
    place = folder / "world"
    listener.stage("living through the weeks before")
    found = read_manifest(place)
    fresh = found is not None and found.digest != world.digest
    written.write_world(world, place, fresh=fresh, on_day=listener.events or (lambda _: None))
    if not (place / written.PROFILES).is_file():
        written.write_profiles(place)
    profiles = ProfileFile(place / written.PROFILES).load()
    dataset = load("world")
    known = catalog(dataset.catalogue())
    listener.stage("replaying the history")
    parts = periods(place, world, known, profiles, plan, listener.events)
    listener.stage("learning")
    parameters = dataset.recipe("default").model
    if trees is not None:
        parameters = msgspec.structs.replace(parameters, trees=trees)
    model = everything(parts, parameters, known, listener.trees)
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
        calibrator=Calibrator(slope=slope, intercept=intercept), policy=policy, contract=known.contract(),
        reasons=known.reasons, feature_service=service_name(known),
        trained={"dataset": dataset.name, "world": world.digest, "until": EVE.isoformat()},
    )  # fmt: skip
    write_bundle(bundle, folder / "bundle")
    history = written.read_history(place)
    ready = Prepared(
        folder, history, written.read_truth(place)["story"].to_pylist(),
        amounts_of(history, known).astype(np.float64), world,
    )  # fmt: skip
    pq.write_table(before(history, ready.span_ms(NORMAL)[0]), folder / "past.parquet", compression="lz4")
    return ready


def hours(span: tuple[dt.timedelta, dt.timedelta]) -> float:
    """Length of a span."""
    return (span[1] - span[0]).total_seconds() * 1000 / HOUR_MS
