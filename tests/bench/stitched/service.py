"""BentoML with its defaults, Feast's `get_online_features` on 48 scalars, LightGBM's `Booster.predict`.

The way the three projects' own guides put them together, nothing slowed down on purpose. It looks up its
features and scores; it keeps no record, explains nothing and updates no feature.
"""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
import lightgbm
import numpy as np
from pydantic import BaseModel

from tests.bench.stitched.features import NAMES, REFERENCES, open_store


class Payment(BaseModel):
    """The request of riskgate's own contract."""

    transaction_id: str
    event_time: str
    amount_minor: int
    currency: str
    rail: str
    channel: str
    payer_id: str
    instrument_id: str
    payee_id: str
    device_id: str | None = None
    ip: str | None = None
    mcc: str | None = None
    payer_country: str | None = None
    payee_country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    attributes: dict[str, float | str] = {}
    deadline_ms: int = 80


@bentoml.service
class Stitched:
    """Look up, predict, compare with a threshold."""

    def __init__(self) -> None:
        folder = Path(os.environ["STITCHED_FOLDER"])
        self.store = open_store(folder, os.environ.get("STITCHED_REDIS", ""))
        self.booster = lightgbm.Booster(model_file=folder / "model.txt")

    @bentoml.api(route="/v1/score")
    def score(self, payment: Payment, /) -> dict[str, object]:
        """The decision on one payment."""
        found = self.store.get_online_features(
            features=REFERENCES,
            entity_rows=[{"payer_id": payment.payer_id, "payee_id": payment.payee_id, "device_id": payment.device_id}],
        ).to_dict()
        # One thread is the kinder choice: by default LightGBM wakes one per core for a single row.
        row = np.array([[found[name][0] for name in NAMES]], dtype=float)
        score = float(self.booster.predict(row, num_threads=1)[0])
        decision = "approve" if score < 0.5 else "decline"
        return {"transaction_id": payment.transaction_id, "score": score, "decision": decision}
