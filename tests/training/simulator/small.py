"""Worlds small enough for tests: every story, a festival at the end of the second month."""

from __future__ import annotations

import datetime as dt

from training.simulator.parameters import World

SMALL = World(
    payments=24_000, days=64, start=dt.date(2026, 9, 14), payers=1_200, stores=3_000, local_brands=600,
    international_brands=200, new_merchants_per_day=10, fraud_share=0.02, seed=7,
)  # fmt: skip
"""Its fraud share is ten times the usual one, so that each typology occurs often enough to be measured."""
FESTIVAL = dt.date(2026, 11, 11)
