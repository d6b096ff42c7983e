"""Distinct valid payments as request bodies, made before the clock starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

PAYERS, PAYEES, DEVICES = 8_000, 1_000, 9_000
START = datetime(2026, 11, 11, tzinfo=UTC)
WAYS = (("upi", "qr_static"), ("upi", "qr_dynamic"), ("wallet", "in_app"), ("card", "pos"), ("card", "online"))
CATEGORIES = ("5411", "5812", "5999", "4121", "7995")


def bodies(count: int, seed: int, start: datetime = START, per_second: int = 5) -> list[bytes]:
    """`count` JSON bodies in time order; ids are unique to `seed`, some payers and payees busier than others.

    Event time passes at `per_second`, whatever the rate at which they are sent: a payer makes a handful of
    payments a day, not hundreds a minute.
    """
    rng = np.random.default_rng(seed)
    payers = (PAYERS * rng.random(count) ** 1.5).astype(int)
    payees = (PAYEES * rng.random(count) ** 2.0).astype(int)
    other = rng.integers(0, 1 << 30, count)
    amounts = np.round(np.exp(rng.normal(10.2, 1.3, count))).astype(int) + 100
    step = timedelta(seconds=1) / per_second
    made = []
    for n, (payer, payee, salt, amount) in enumerate(zip(payers, payees, other, amounts, strict=True)):
        rail, channel = WAYS[salt % len(WAYS)]
        moment = (start + n * step).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        device = (payer + (salt % 17 == 0) * salt) % DEVICES
        made.append(
            f'{{"transaction_id":"b{seed}-{n}","event_time":"{moment}","amount_minor":{amount},'
            f'"currency":"INR",'
            f'"rail":"{rail}","channel":"{channel}","payer_id":"u-{payer}",'
            f'"instrument_id":"i-{payer}-{salt % 2}",'
            f'"payee_id":"m-{payee}","device_id":"d-{device}",'
            f'"ip":"10.{payer % 200}.{device % 250}.{salt % 3}",'
            f'"mcc":"{CATEGORIES[payee % len(CATEGORIES)]}","payer_country":"IN","payee_country":"IN",'
            f'"latitude":{12.5 + payer % 97 / 100:.2f},"longitude":{77.1 + payer % 89 / 100:.2f},'
            f'"deadline_ms":80}}'.encode()
        )
    return made


def write_bodies(path: Path, count: int, seed: int, start: datetime = START, per_second: int = 5) -> Path:
    """The bodies as a file, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(bodies(count, seed, start, per_second)) + b"\n")
    return path
