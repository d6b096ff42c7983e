"""A real bundle for the benchmark: trained on a replayed synthetic history, as large as production allows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa

from features.bundle.bundle import Bundle, Calibrator, read_bundle, write_bundle
from features.bundle.policy import STARTER_RULES, Policy
from features.catalogue.catalogue import Catalogue, catalogue
from features.domain.payment import Payment
from features.errors import RiskgateError
from features.history.schema import HISTORY_SCHEMA
from features.intake.parse import read_payment
from features.state.replay import replay
from tests.bench.inputs.payments import START, bodies

TREES, LEAVES, DEPTH = 300, 31, 6


def history(known: Catalogue, count: int, seed: int, start: datetime) -> pa.Table:
    """`count` payments in the normalised shape, about 3 % of them labelled fraud a week later."""
    rng = np.random.default_rng(seed)
    payments = [read_payment(body, known) for body in bodies(count, seed, start)]
    amounts = np.array([p.amount_minor for p in payments], dtype=float)
    odds = 1.2 * np.log(amounts / 27_000) + 1.5 * np.array([p.channel == "online" for p in payments]) - 5.2
    fraud = rng.random(count) < 1 / (1 + np.exp(-odds))
    rows = [row_of(payment, known_fraud) for payment, known_fraud in zip(payments, fraud, strict=True)]
    return pa.Table.from_pylist(rows, schema=HISTORY_SCHEMA)


def row_of(payment: Payment, fraud: bool) -> dict[str, object]:
    """One row of a history; the label becomes known after seven days."""
    names = set(HISTORY_SCHEMA.names)
    row = {name: getattr(payment, name) for name in Payment.__struct_fields__ if name in names}
    label = "fraud" if fraud else "legitimate"
    after = payment.event_time_ms + 7 * 86_400_000
    return row | {
        "event_time": payment.event_time_ms,
        "label": label,
        "label_source": "chargeback",
        "label_time": after,
    }


def already_there(folder: Path, known: Catalogue) -> bool:
    """Whether an earlier run left a bundle that this code can still serve."""
    try:
        return read_bundle(folder).contract.hash == known.contract().hash
    except RiskgateError:
        return False


def make(folder: Path, count: int = 20_000, seed: int = 99) -> Path:
    """Replay, fit with LightGBM at the size limits of the design, and write the bundle.

    The policy stops about 3 % of the payments, so that the served mix includes explained decisions.
    """
    known = catalogue()
    if already_there(folder, known):
        return folder
    past = history(known, count, seed, START - timedelta(days=1, hours=6))
    frame = replay(past, known)
    columns = np.column_stack([frame[name].to_numpy() for name in known.names])
    labels = np.array(past["label"].to_pylist()) == "fraud"
    parameters = {"objective": "binary", "num_leaves": LEAVES, "max_depth": DEPTH, "learning_rate": 0.05}
    data = lightgbm.Dataset(columns, label=labels.astype(float), feature_name=list(known.names))
    booster = lightgbm.train(parameters | {"verbosity": -1, "num_threads": 2}, data, num_boost_round=TREES)
    scores = np.asarray(booster.predict(columns))
    challenge_at, review_at, decline_at = (float(v) for v in np.quantile(scores, [0.97, 0.985, 0.995]))
    bundle = Bundle(
        name="risk",
        version="1",
        model_text=booster.model_to_string(),
        calibrator=Calibrator(),
        policy=Policy(challenge_at=challenge_at, review_at=review_at, decline_at=decline_at, rules=STARTER_RULES),
        contract=known.contract(),
        reasons=known.reasons,
        feature_service="risk_v1",
        trained={"history": f"synthetic, seed {seed}, {count} payments"},
    )
    return write_bundle(bundle, folder)
