"""Random streams of payments and of what becomes known about them, for the property tests."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from hypothesis import strategies as st

from features.domain.payment import CHANNELS, Payment
from features.history.schema import HISTORY_SCHEMA

START_MS = 1_790_000_000_000  # a moment in 2026
_GAPS = st.one_of(st.integers(0, 3), st.integers(0, 90_000), st.integers(0, 7_200_000), st.integers(0, 4 * 86_400_000))


class Later(NamedTuple):
    """What became known about payment number `about`."""

    about: int
    what: str


Event = Payment | Later


@st.composite
def payments(draw: st.DrawFn, number: int, time_ms: int) -> Payment:
    return Payment(
        transaction_id=f"t{number}",
        event_time_ms=time_ms,
        amount_minor=draw(st.sampled_from([0, 99, 8_500, 8_501, 10_000, 120_000, 7_777_777])),
        currency=draw(st.sampled_from(["INR", "INR", "INR", "USDT"])),
        rail=draw(st.sampled_from(["upi", "card", "other", "carrier pigeon"])),
        channel=draw(st.sampled_from([*CHANNELS, "carrier pigeon"])),
        payer_id=draw(st.sampled_from(["u1", "u2"])),
        instrument_id=draw(st.sampled_from(["i1", "i2", "i3"])),
        payee_id=draw(st.sampled_from(["m1", "m2", "u1"])),
        device_id=draw(st.sampled_from([None, "d1", "d2"])),
        ip=draw(st.sampled_from([None, "10.0.0.1", "10.0.0.2"])),
        payer_country=draw(st.sampled_from(["IN", None])),
        payee_country=draw(st.sampled_from(["IN", "SG", None])),
    )


@st.composite
def streams(draw: st.DrawFn, most: int = 60, late: bool = True) -> list[Event]:
    """Payments in order of arrival, some late by up to 40 days, and labels and outcomes about earlier ones."""
    events: list[Event] = []
    time_ms, number = START_MS, 0
    for _ in range(draw(st.integers(1, most))):
        kind = draw(st.integers(0, 9))
        if kind >= 8 and number:
            events.append(
                Later(
                    draw(st.integers(0, number - 1)),
                    draw(st.sampled_from(["fraud", "legitimate", "declined", "reversed"])),
                )
            )
            continue
        time_ms += draw(_GAPS)
        back = draw(st.integers(0, 40 * 86_400_000)) if late and kind == 0 else 0
        events.append(draw(payments(number, time_ms - back)))
        number += 1
    return events


def history_of(rows: list[dict[str, object]]) -> pa.Table:
    """A normalised history from plain rows; absent columns are empty."""
    return pa.Table.from_pylist(rows, schema=HISTORY_SCHEMA)


def row_of(payment: Payment) -> dict[str, object]:
    """A payment as a row of a history."""
    fields = {name: getattr(payment, name) for name in payment.__struct_fields__}
    fields["event_time"] = fields.pop("event_time_ms")
    return {name: value for name, value in fields.items() if name in HISTORY_SCHEMA.names}
