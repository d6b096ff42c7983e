"""Payments of the present, for services on the system's clock."""

from __future__ import annotations

import time
from typing import Any

from tests.serving.scoring_world import rfc3339


def payment(transaction_id: str, **changes: Any) -> dict[str, Any]:
    """A valid payment that happens now, with these changes."""
    return {
        "transaction_id": transaction_id, "event_time": rfc3339(time.time_ns() // 1_000_000), "amount_minor": 125_000,
        "currency": "INR", "rail": "upi", "channel": "qr_static", "payer_id": "u-1", "instrument_id": "vpa-1",
        "payee_id": "m-1", "deadline_ms": 5_000,
    } | changes  # fmt: skip
