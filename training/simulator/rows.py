"""Payments as columns of numbers, cheap to create, concatenate and sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import Flags, Floats, Integers
from training.simulator.parameters import START_SHARES
from training.simulator.parties.merchants import CITIES, PER_RUPEE, Payees
from training.simulator.parties.payers import ACCOUNT, CARD, VPA, WALLET, Payers
from training.simulator.random_streams import share_of

Rows = dict[str, NDArray[Any]]
"""Columns of payments of one length: COLUMNS int64 (-1: not sent), `latitude` and `longitude` float64 (NaN)."""

UPI, WALLET_RAIL, CARD_RAIL, NETBANKING = range(4)
ONLINE, IN_APP, QR_STATIC, QR_DYNAMIC, POS, P2P, COLLECT = range(7)
TYPOLOGY_NAMES = (None, *START_SHARES)
"""The typology of each code; 0 is honest."""

INTEGERS = (
    *("time", "amount_minor", "currency", "rail", "channel", "payer", "instrument", "payee", "device", "ip"),
    *("mcc", "payer_country", "payee_country", "typology", "refused"),
)
COLUMNS = (*INTEGERS, "latitude", "longitude")
LATE = -1
"""In `refused`: the issuer's answer is drawn later."""


def payments(
    payers: Payers,
    payees: Payees,
    rng: np.random.Generator,
    *,
    time: Integers,
    amount_minor: Integers,
    payer: Integers,
    payee: Integers,
    rail: Integers | int,
    channel: Integers | int,
    day: Integers,
    typology: str | None = None,
    **other: Integers | Floats | int,
) -> Rows:
    """Rows with the usual values for these payers and payees; `other` columns override them."""
    n = len(time)
    rail, channel = np.broadcast_to(rail, n).astype(np.int64), np.broadcast_to(channel, n).astype(np.int64)
    country = payees.country(payee)
    rows: Rows = {
        "time": time,
        "amount_minor": amount_minor,
        "currency": np.where(rng.random(n) < 0.65, country, 0),
        "rail": rail,
        "channel": channel,
        "payer": payer,
        "instrument": 4 * payer + np.array([VPA, WALLET, CARD, ACCOUNT])[rail],
        "payee": payee,
        "device": np.where((channel == POS) & (rail == CARD_RAIL), -1, payers.phone(payer, day, rng)),
        "ip": np.where((channel == POS) & (rail == CARD_RAIL), -1, payers.address(payer, rng)),
        "mcc": payees.mcc(payee),
        "payer_country": np.zeros(n, np.int64),
        "payee_country": country,
        "typology": np.full(n, TYPOLOGY_NAMES.index(typology), np.int64),
        "refused": np.full(n, LATE, np.int64),
    }
    for name, values in other.items():
        if name in INTEGERS:
            rows[name] = np.broadcast_to(values, n).astype(np.int64)
    if "latitude" in other:
        rows["latitude"], rows["longitude"] = np.asarray(other["latitude"]), np.asarray(other["longitude"])
    else:
        rows["latitude"], rows["longitude"] = _where_it_happens(payers, payees, rows, rng)
    return rows


def in_currency(paise: Floats, currency: Integers) -> Integers:
    """Minor units of a currency for an amount in paise, at least one."""
    return np.asarray(np.maximum(np.round(paise * PER_RUPEE[currency]), 1), np.int64)


def concatenated(parts: Sequence[Rows]) -> Rows:
    """All rows concatenated."""
    return {name: np.concatenate([part[name] for part in (no_rows(), *parts)]) for name in COLUMNS}


def select_rows(rows: Rows, at: Integers | Flags) -> Rows:
    """The rows at these positions."""
    return {name: column[at] for name, column in rows.items()}


def no_rows() -> Rows:
    """No rows."""
    return {name: np.empty(0, np.int64 if name in INTEGERS else np.float64) for name in COLUMNS}


def by_time(rows: Rows) -> Rows:
    """The rows in order of time; equal times keep their order."""
    return select_rows(rows, np.argsort(rows["time"], kind="stable"))


def _where_it_happens(payers: Payers, payees: Payees, rows: Rows, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Degrees: the store for a payment in a store, else near home; two payments in three send a location."""
    n = len(rows["time"])
    payee = np.asarray(rows["payee"], np.int64)
    inside = np.isin(rows["channel"], (QR_STATIC, QR_DYNAMIC, POS)) & (payee < payees.first_person)
    north, east = payees.spot(payee)
    payer = np.asarray(rows["payer"], np.int64)
    home = CITIES[payers.city[payer], :2]
    around = 0.2 * (share_of(payers.head[payer], f"{payers.seed}/house") - 0.5)
    present = rng.random(n) < 0.66
    blur = rng.normal(0.0, 0.004, (2, n))
    latitude = np.where(inside, north, home[:, 0] + around) + blur[0]
    longitude = np.where(inside, east, home[:, 1] - around) + blur[1]
    return np.where(present, np.round(latitude, 5), np.nan), np.where(present, np.round(longitude, 5), np.nan)
