"""Converts simulated rows to the normalised history and to the truth table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.domain.payment import CHANNELS, RAILS
from features.history.schema import HISTORY_SCHEMA, TIME
from training.data.arrays import Flags, Integers
from training.simulator.parameters import World
from training.simulator.parties.merchants import COUNTRIES, CURRENCIES, Payees
from training.simulator.rows import TYPOLOGY_NAMES, Rows
from training.simulator.traffic.outcomes import NEVER_REPORTED, OUTCOMES, REPORTED_FRAUD, SOURCES, labels, outcomes

TRUTH_SCHEMA = pa.schema(
    [
        pa.field("transaction_id", pa.string(), nullable=False),
        pa.field("story", pa.string()),
        pa.field("is_fraud", pa.bool_(), nullable=False),
    ]
)
"""The truth, known to the simulator only; no feature reads it."""
_INSTRUMENTS = pa.array(["vpa-", "wal-", "card-", "acc-"])
_PARTIES = pa.array(["m-", "u-"])
_OCTETS = pa.array([str(octet) for octet in range(256)])


def tables(world: World, payees: Payees, rows: Rows, day: int, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """(history, truth) of the rows of one day, which are in order of time."""
    n = len(rows["time"])
    outcome, outcome_ms = outcomes(rows, rng)
    reported, source, label_ms = labels(rows, world, rng)
    answered = outcome_ms < world.end_ms
    known = (reported != NEVER_REPORTED) & (label_ms < world.end_ms)  # labels after the last day are not known yet
    identifiers = _numbered(f"w{day}-", np.arange(n))
    columns = {
        "transaction_id": identifiers,
        "event_time": _times(rows["time"]),
        "amount_minor": pa.array(rows["amount_minor"]),
        "currency": _words(CURRENCIES, rows["currency"]),
        "rail": _words(RAILS, rows["rail"]),
        "channel": _words(CHANNELS, rows["channel"]),
        "payer_id": _numbered("u-", rows["payer"]),
        "instrument_id": _joined(_INSTRUMENTS.take(pa.array(rows["instrument"] % 4)), rows["instrument"] // 4),
        "payee_id": payee_ids(payees, np.asarray(rows["payee"], np.int64)),
        "device_id": _numbered("d-", rows["device"], rows["device"] >= 0),
        "ip": _addresses(np.asarray(rows["ip"], np.int64)),
        "mcc": pc.cast(pa.array(rows["mcc"], mask=rows["mcc"] < 0), pa.string()),
        "payer_country": _words(COUNTRIES, rows["payer_country"]),
        "payee_country": _words(COUNTRIES, rows["payee_country"]),
        "latitude": pa.array(rows["latitude"], from_pandas=True),
        "longitude": pa.array(rows["longitude"], from_pandas=True),
        "outcome": _words(OUTCOMES, outcome, answered),
        "outcome_time": _times(outcome_ms, answered),
        "label": _words(("legitimate", "fraud"), np.where(reported == REPORTED_FRAUD, 1, 0), known),
        "label_source": _words(SOURCES, source, known),
        "label_time": _times(label_ms, known),
    }
    history = pa.table([columns[field.name] for field in HISTORY_SCHEMA], schema=HISTORY_SCHEMA)
    names = pa.array([*TYPOLOGY_NAMES], pa.string()).take(pa.array(rows["typology"]))
    truth = pa.table([identifiers, names, pa.array(rows["typology"] > 0)], schema=TRUTH_SCHEMA)
    return history, truth


def payee_ids(payees: Payees, payee: Integers) -> pa.Array:
    """Identifiers of payees; a person has the same identifier as payer and as payee."""
    person = payee >= payees.first_person
    number = np.where(person, payee - payees.first_person, payee)
    return _joined(_PARTIES.take(pa.array(person.astype(np.int64))), number)


def _numbered(prefix: str, numbers: NDArray[Any], present: Flags | None = None) -> pa.Array:
    mask = None if present is None else ~present
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers, mask=mask), pa.string()), "")


def _joined(prefixes: pa.Array, numbers: NDArray[Any]) -> pa.Array:
    return pc.binary_join_element_wise(prefixes, pc.cast(pa.array(numbers), pa.string()), "")


def _words(words: tuple[str, ...], codes: NDArray[Any], present: Flags | None = None) -> pa.Array:
    return pa.array([*words]).take(pa.array(codes, mask=None if present is None else ~present))


def _times(ms: NDArray[Any], present: Flags | None = None) -> pa.Array:
    return pa.array(ms, mask=None if present is None else ~present).cast(TIME)


def _addresses(ip: Integers) -> pa.Array:
    missing = ip < 0
    octets = [_OCTETS.take(pa.array(ip >> shift & 255, mask=missing)) for shift in (24, 16, 8, 0)]
    return pc.binary_join_element_wise(*octets, ".")
