"""Honest payments of one day: at the till, online, between persons, on request, and on journeys.

Many resemble fraud on purpose: new phones, first-time payees, kiosks that a hundred people share, journeys, rent at
the beginning of the month, and on sale days large baskets at shops that are new to the payer.
"""

from __future__ import annotations

import numpy as np

from training.data.arrays import Flags, Floats, Integers
from training.simulator.parties.merchants import CAPITALS, CITIES, Payees
from training.simulator.parties.payers import Payers, address_abroad, rented_address
from training.simulator.random_streams import share_of, stream
from training.simulator.rows import (
    CARD_RAIL,
    COLLECT,
    IN_APP,
    NETBANKING,
    ONLINE,
    P2P,
    POS,
    QR_DYNAMIC,
    QR_STATIC,
    UPI,
    WALLET_RAIL,
    Rows,
    in_currency,
    payments,
)
from training.simulator.traffic.calendar import TrafficCalendar

STORE, TILL, BUY, PERSON, REQUEST, WORLDWIDE, BILL, ABROAD = range(8)
"""Kinds of payment: QR at a store, card at a till, online, person, on request, foreign brand, bill, abroad."""

KIND_SHARES = np.array(
    [
        [0.430, 0.045, 0.200, 0.170, 0.070, 0.070, 0.015],
        [0.450, 0.080, 0.155, 0.165, 0.065, 0.055, 0.030],
        [0.480, 0.095, 0.080, 0.190, 0.065, 0.040, 0.050],
    ]
)
"""Shares of the kinds by age (young, middle, old)."""
SALE_SHARES = np.array([0.230, 0.060, 0.460, 0.090, 0.050, 0.090, 0.020])
MEDIAN_PAISE = np.array([16_000, 95_000, 75_000, 90_000, 70_000, 190_000, 110_000, 240_000])
SPREAD = np.array([0.85, 0.85, 1.05, 1.35, 1.10, 1.00, 0.70, 0.90])
FAVOURITE_SHARE = np.array([0.66, 0.45, 0.55, 0.80, 0.45, 0.40, 0.92, 0.0])
FAVOURITES = 6
PERSON_AT_STORE = 0.07
"""Share of stores whose QR code is the owner's private one."""
KIOSKS_PER_CITY = 30
KIOSKS, ONCE, NEW_PHONES, BURNERS = 1_000_000_000, 10_000_000_000, 30_000_000_000, 40_000_000_000
"""First device numbers of shared, one-time, new and burner devices; all shorter than a card number."""


def honest_day(payers: Payers, payees: Payees, calendar: TrafficCalendar, day: int, n: int) -> Rows:
    """`n` honest payments of one day, in order of time."""
    rng = stream(payers.seed, "habits", day)
    time = calendar.moments(day, n, rng)
    payer = payers.active(n, day, rng)
    sale = float(calendar.sale[day])
    kind = _kinds(payers, payer, sale, rng)
    city_of_trip, country_of_trip = payers.trip(payer, day)
    # on a trip abroad most payments happen there, some continue at home
    kind[(country_of_trip > 0) & (rng.random(n) < 0.7)] = ABROAD
    return pay(payers, payees, kind, payer, time, calendar, day, rng, city_of_trip, country_of_trip)


def pay(
    payers: Payers,
    payees: Payees,
    kind: Integers,
    payer: Integers,
    time: Integers,
    calendar: TrafficCalendar,
    day: int,
    rng: np.random.Generator,
    city_of_trip: Integers | None = None,
    country_of_trip: Integers | None = None,
    typology: str | None = None,
) -> Rows:
    """Payments of given kinds by given payers at given times of one day."""
    n, nowhere, sale = len(kind), np.full(len(kind), -1), float(calendar.sale[day])
    city_of_trip = nowhere if city_of_trip is None else city_of_trip
    country = nowhere if country_of_trip is None else country_of_trip
    away = (city_of_trip >= 0) | (country > 0)
    payee = _payees(payers, payees, kind, payer, day, sale, rng, city_of_trip, country)
    rail = _rails(payers, kind, payer, rng)
    channel = _channels(payees, kind, payee, rng)
    rows = payments(
        payers, payees, rng, time=time, amount_minor=time, payer=payer, payee=payee, rail=rail, channel=channel,
        day=np.full(n, day), typology=typology,
    )  # fmt: skip
    rows["amount_minor"] = amounts(payers, payees, kind, rows, int(calendar.month_day[day]), sale, rng)
    sent = rows["device"] >= 0
    rows["device"] = np.where(sent, _other_devices(payers, np.asarray(rows["device"], np.int64), payer, rng), -1)
    private = (share_of(payer, f"{payers.seed}/private") < 0.04) & sent & (rng.random(n) < 0.6)
    rows["ip"] = np.where(private, rented_address(rng.integers(0, 3_000, n)), rows["ip"])
    _move(rows, payers, city_of_trip, country, away, sent, rng)
    return rows


def amounts(
    payers: Payers, payees: Payees, kind: Integers, rows: Rows, month_day: int, sale: float, rng: np.random.Generator
) -> Integers:
    """Amounts: log-normal around the usual, by payer and payee; rent early in a month; sale baskets."""
    n, payer, payee = len(kind), np.asarray(rows["payer"], np.int64), np.asarray(rows["payee"], np.int64)
    paise = MEDIAN_PAISE[kind] * payers.spend[payer] * payees.price(payee) * rng.lognormal(0.0, SPREAD[kind], n)
    rent = (kind == PERSON) & (rng.random(n) < (0.12 if month_day <= 5 else 0.012))
    paise = np.where(rent, 900_000 * payers.spend[payer] * rng.lognormal(0.0, 0.4, n), paise)
    basket = np.isin(kind, (BUY, WORLDWIDE, TILL)) & (rng.random(n) < 0.7 * sale)
    paise = np.where(basket, paise * rng.lognormal(0.6, 0.6, n), paise)
    paise = np.clip(paise, 200, 40_000_000)
    step = rng.choice(np.array([1, 100, 1_000, 5_000, 10_000]), n, p=(0.14, 0.42, 0.22, 0.12, 0.10))
    minor = in_currency(paise, np.asarray(rows["currency"], np.int64))
    rounded = np.maximum(np.round(minor / step) * step, np.minimum(step, minor)).astype(np.int64)
    # converted prices are never round
    return np.where((rows["currency"] == 0) & (rows["payee_country"] == 0), np.maximum(rounded, 100), minor)


def _kinds(payers: Payers, payer: Integers, sale: float, rng: np.random.Generator) -> Integers:
    shares = (1.0 - sale) * KIND_SHARES + sale * SALE_SHARES
    edges = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    draw = rng.random(len(payer))
    age, kind = payers.age[payer], np.zeros(len(payer), np.int64)
    for place in range(edges.shape[1] - 1):
        kind += draw >= edges[age, place]
    return kind


def _payees(
    payers: Payers, payees: Payees, kind: Integers, payer: Integers, day: int, sale: float, rng: np.random.Generator,
    city_of_trip: Integers, country: Integers,
) -> Integers:  # fmt: skip
    """Mostly favourites, others by popularity, sometimes a recently opened merchant."""
    n = len(kind)
    travels = (city_of_trip >= 0) | (country > 0)
    faithful = (rng.random(n) < FAVOURITE_SHARE[kind] * (1.0 - 0.5 * sale)) & ~travels
    slot = payer * 64 + kind * 8 + (FAVOURITES * rng.random(n) ** 1.7).astype(np.int64)
    draw = np.where(faithful, share_of(slot, f"{payers.seed}/favourite"), rng.random(n))
    city = np.where(city_of_trip >= 0, city_of_trip, payers.city[payer])
    abroad = np.where(country > 0, country, 1)
    store, brand = payees.store(city, draw), payees.brand(draw)
    friend = payees.first_person + payers.relative(payer, rng)
    stranger = payees.first_person + rng.integers(0, payers.joined(day), n)
    person = np.where(rng.random(n) < 0.86, friend, stranger)
    at_stall = payees.first_person + (share_of(store, f"{payers.seed}/stall") * payers.joined(0)).astype(np.int64)
    at_stall = np.where(at_stall == payees.first_person + payer, friend, at_stall)
    is_stall = share_of(store, f"{payers.seed}/is a stall") < PERSON_AT_STORE
    asks = np.where(share_of(slot, f"{payers.seed}/asks") < 0.6, brand, person)
    payee = np.select(
        [kind == STORE, kind == TILL, np.isin(kind, (BUY, BILL)), kind == PERSON, kind == REQUEST, kind == WORLDWIDE],
        [np.where(is_stall, at_stall, store), np.where(draw < 0.7, store, brand), brand, person, asks,
         payees.brand_abroad(draw)],
        payees.brand_abroad(draw, abroad),
    )  # fmt: skip
    fresh = ~faithful & np.isin(kind, (STORE, BUY, TILL)) & (rng.random(n) < 0.10)
    payee[fresh] = payees.newcomer(day, city[fresh], rng)
    return np.asarray(payee, np.int64)


def _rails(payers: Payers, kind: Integers, payer: Integers, rng: np.random.Generator) -> Integers:
    n, draw = len(kind), rng.random(len(kind))
    at_store = np.where((draw < 0.14) & payers.has_wallet[payer], WALLET_RAIL, UPI)
    remote = np.select(
        [draw < 0.42, (draw < 0.60) & payers.has_wallet[payer], (draw < 0.93) & payers.has_card[payer], draw < 0.96],
        [UPI, WALLET_RAIL, CARD_RAIL, NETBANKING],
        UPI,
    )
    foreign = np.full(n, CARD_RAIL)
    bill = np.where(draw < 0.35, NETBANKING, UPI)
    return np.select(
        [kind == STORE, kind == BUY, np.isin(kind, (TILL, WORLDWIDE, ABROAD)), kind == BILL],
        [at_store, remote, foreign, bill],
        UPI,
    ).astype(np.int64)


def _channels(payees: Payees, kind: Integers, payee: Integers, rng: np.random.Generator) -> Integers:
    remote = np.where(rng.random(len(kind)) < 0.55, IN_APP, ONLINE)
    code = np.where(payees.static_code(payee), QR_STATIC, QR_DYNAMIC)
    there = np.where(rng.random(len(kind)) < 0.6, POS, ONLINE)
    return np.select(
        [kind == STORE, kind == TILL, kind == PERSON, kind == REQUEST, kind == ABROAD],
        [code, np.full(len(kind), POS), np.full(len(kind), P2P), np.full(len(kind), COLLECT), there],
        remote,
    ).astype(np.int64)


def _other_devices(payers: Payers, device: Integers, payer: Integers, rng: np.random.Generator) -> Integers:
    """Replace some devices by shared kiosks or one-time devices; a few payers always use a kiosk."""
    n, draw = len(device), rng.random(len(device))
    borrows = share_of(payer, f"{payers.seed}/borrows") < 0.025
    kiosk = KIOSKS + payers.city[payer] * KIOSKS_PER_CITY + rng.integers(0, KIOSKS_PER_CITY, n)
    once = ONCE + rng.integers(0, 10_000_000_000, n)
    return np.select([(draw < 0.004) | (borrows & (draw < 0.6)), draw < 0.018], [kiosk, once], device)


def _move(
    rows: Rows, payers: Payers, city: Integers, country: Integers, away: Flags, sent: Flags, rng: np.random.Generator
) -> None:
    """Move travellers' network, location and country to their destination."""
    if not away.any():
        return
    n = len(city)
    gone = country > 0
    rows["payer_country"] = np.where(gone, country, rows["payer_country"])
    network = 0x64400000 + np.maximum(city, 0) * 4096 + rng.integers(0, 1500, n)
    address = np.where(gone, address_abroad(np.maximum(country, 1), rng), network)
    moved = away & sent & (rng.random(n) < 0.85)
    rows["ip"] = np.where(moved, address, rows["ip"])
    centre: Floats = np.where(gone[:, None], CAPITALS[np.maximum(country, 0)], CITIES[np.maximum(city, 0), :2])
    present = away & ~np.isnan(rows["latitude"])
    for place, name in enumerate(("latitude", "longitude")):
        rows[name] = np.where(present, np.round(centre[:, place] + rng.normal(0.0, 0.05, n), 5), rows[name])
