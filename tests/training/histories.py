"""A small seeded history for tests: a few payees go bad for a while, and a payer's large amounts are suspicious."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from features.history.schema import HISTORY_SCHEMA, complete

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY_MS = 86_400_000


def small_history(payments: int = 12_000, days: int = 60, seed: int = 7, shuffled_labels: bool = False) -> pa.Table:
    """Payments of 200 payers at 60 payees; about 4 % fraud, known seven days later."""
    random = np.random.default_rng(seed)
    when = np.sort(random.integers(0, days * DAY_MS, payments))
    payer, payee = random.integers(0, 200, payments), random.integers(0, 60, payments)
    bad_from = random.uniform(-20, days, 60) * DAY_MS
    compromised = (when >= bad_from[payee]) & (when < bad_from[payee] + 20 * DAY_MS) & (payee < 20)
    usual = random.lognormal(8, 0.4, 200)
    amount = usual[payer] * random.lognormal(0, 0.3, payments)
    fraud = compromised & (random.random(payments) < 0.5)
    large = random.random(payments) < 0.01
    amount[large] *= 6
    fraud |= large & (random.random(payments) < 0.8)
    if shuffled_labels:
        fraud = random.permutation(fraud)
    start = int(START.timestamp() * 1000)
    times = pa.array(start + when, pa.timestamp("ms", tz="UTC"))
    table = pa.table(
        {
            "transaction_id": [f"t-{i}" for i in range(payments)],
            "event_time": times,
            "amount_minor": amount.astype(np.int64) + 1,
            "currency": ["INR"] * payments,
            "rail": np.where(payer % 2 == 0, "upi", "card"),
            "channel": np.where(payer % 2 == 0, "qr_static", "online"),
            "payer_id": [f"u-{p}" for p in payer],
            "instrument_id": [f"i-{p}" for p in payer],
            "payee_id": [f"m-{p}" for p in payee],
            "device_id": [f"d-{p}" if p % 3 else None for p in payer],
            "payer_country": ["IN"] * payments,
            "payee_country": np.where(payee % 7 == 0, "SG", "IN"),
            "label": np.where(fraud, "fraud", "legitimate"),
            "label_source": ["chargeback"] * payments,
            "label_time": pa.array(start + when + 7 * DAY_MS, pa.timestamp("ms", tz="UTC")),
        }
    )
    return complete(table, HISTORY_SCHEMA)
