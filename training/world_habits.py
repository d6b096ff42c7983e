"""How honest people of the small world pay: the day of a UPI user, favourite stores, transfers, requests."""

from __future__ import annotations

import numpy as np

from training.world_people import (
    ABROAD,
    BRAND,
    CITIES,
    CURRENCY_OF,
    DAY_MS,
    NEWCOMER,
    Numbers,
    Payees,
    Payers,
    Places,
    Texts,
    numbered,
)

Rows = dict[str, Texts]
"""Columns of payments, all of one length; absent values are None or NaN."""

IST_MS = 330 * 60_000
FAVOURITES = 8
MOBILE_ADDRESSES = 400
_KINDS = ("store", "online", "p2p", "collect", "pos")
_KIND_SHARES = (0.56, 0.20, 0.15, 0.03, 0.06)
_MEDIAN_MINOR = {"store": 18_000, "online": 60_000, "p2p": 120_000, "collect": 90_000, "pos": 110_000}
_PER_RUPEE = {"INR": 1.0, "USD": 1 / 85, "GBP": 1 / 108, "SGD": 1 / 63, "AED": 1 / 23, "EUR": 1 / 92}


def moments(n: int, days: int, start_ms: int, rng: np.random.Generator) -> Places:
    """Times of day with UPI's two peaks, around half past twelve and eight in the evening (IST), ms UTC."""
    day = rng.integers(0, days, n)
    peak = rng.choice(3, n, p=[0.38, 0.47, 0.15])
    hour = np.select([peak == 0, peak == 1], [rng.normal(12.5, 2.2, n), rng.normal(20.0, 1.9, n)], rng.random(n) * 24)
    local = day * DAY_MS + (np.mod(hour, 24.0) * 3_600_000).astype(np.int64)
    return np.asarray(start_ms + np.mod(local - IST_MS, days * DAY_MS), np.int64)


def honest_payments(n: int, days: int, start_ms: int, payers: Payers, payees: Payees, seed: int) -> Rows:
    """`n` payments without fraud."""
    rng = np.random.default_rng(seed)
    time = moments(n, days, start_ms, rng)
    payer = rng.choice(len(payers.ids), n, p=payers.share)
    kind = rng.choice(np.array(_KINDS, object), n, p=_KIND_SHARES)
    payee = _merchants(payer, kind, time, start_ms, payees, rng)
    to_person = kind == "p2p"
    friend = (payer + 1 + rng.integers(0, 12, n) ** 2) % len(payers.ids)

    wanted = np.select(
        [kind == "store", kind == "online", kind == "pos"],
        [
            rng.choice(np.array(["upi", "wallet"], object), n, p=[0.85, 0.15]),
            rng.choice(np.array(["upi", "wallet", "card", "netbanking"], object), n, p=[0.42, 0.22, 0.30, 0.06]),
            "card",
        ],
        "upi",
    ).astype(object)
    wanted[(payees.kind[payee] == ABROAD) & ~to_person] = "card"
    instrument, rail = payers.instrument(payer, wanted)
    country = np.where(to_person, "IN", payees.country[payee]).astype(object)
    currency = np.asarray([CURRENCY_OF[c] for c in country.tolist()], dtype=object)
    nothing = np.full(n, None, dtype=object)
    distance = (kind == "store") | (kind == "pos")
    return {
        "time": time,
        "amount_minor": amounts(kind, payers.spend[payer], currency, rng),
        "currency": currency,
        "rail": rail,
        "channel": _channels(kind, rail, rng),
        "payer_id": payers.ids[payer],
        "instrument_id": instrument,
        "payee_id": np.where(to_person, payers.ids[friend], payees.ids[payee]),
        "device_id": np.where((kind == "pos") & (rail == "card"), nothing, devices(payers, payer, rng)),
        "ip": np.where((kind == "pos") & (rail == "card"), nothing, addresses(payers, payer, rng)),
        "mcc": np.where(to_person, nothing, payees.mcc[payee]),
        "payee_country": country,
        **locations(np.where(distance, payees.city[payee], payers.city[payer]), rng),
        "story": nothing.copy(),
    }


def amounts(kind: Texts, spend: Numbers, currency: Texts, rng: np.random.Generator) -> Places:
    """Log-normal around what is usual for the kind of payment; rupees are mostly whole, many are round."""
    n = len(kind)
    median = np.asarray([_MEDIAN_MINOR[k] for k in kind.tolist()], np.float64)
    minor = median * spend * rng.lognormal(0.0, np.where((kind == "p2p") | (kind == "collect"), 1.3, 0.8), n)
    step = rng.choice(np.array([1, 100, 1_000, 10_000]), n, p=[0.12, 0.50, 0.28, 0.10])
    rate = np.asarray([_PER_RUPEE[c] for c in currency.tolist()])
    step = np.where(currency == "INR", step, 1)
    rounded: Places = np.maximum(np.round(minor * rate / step) * step, 100).astype(np.int64)
    return rounded


def addresses(payers: Payers, payer: Places, rng: np.random.Generator) -> Texts:
    """The home address at two payments in five, now and then a guest's, else one that a mobile network shares."""
    mobile = rng.integers(0, MOBILE_ADDRESSES, len(payer))
    pool = np.asarray([f"100.64.{m >> 8}.{m & 255}" for m in range(MOBILE_ADDRESSES)], dtype=object)
    draw = rng.random(len(payer))
    guest = np.asarray([f"203.0.113.{g}" for g in rng.integers(1, 255, len(payer)).tolist()], dtype=object)
    return np.select([draw < 0.4, draw < 0.43], [payers.home_ip[payer], guest], pool[mobile])


def locations(city: Places, rng: np.random.Generator) -> Rows:
    """Degrees around a city where the phone tells them (six in ten), NaN elsewhere."""
    n = len(city)
    told = rng.random(n) < 0.6
    spots = CITIES[city] + rng.normal(0, 0.05, (n, 2))
    return {
        "latitude": np.where(told, np.round(spots[:, 0], 5), np.nan),
        "longitude": np.where(told, np.round(spots[:, 1], 5), np.nan),
    }


def _merchants(
    payer: Places, kind: Texts, time: Places, start_ms: int, payees: Payees, rng: np.random.Generator
) -> Places:
    """Seven in ten go to one of the payer's favourites; nobody buys from a store that has not opened yet."""
    n, size = len(payer), len(payees.ids)
    remote = (payees.kind == BRAND) | (payees.kind == ABROAD) | ((payees.kind == NEWCOMER) & (np.arange(size) % 3 == 0))
    favourite = rng.choice(size, (int(payer.max(initial=0)) + 1, FAVOURITES), p=payees.share)
    liked = favourite[payer, rng.integers(0, FAVOURITES, n)]
    chosen = np.where(rng.random(n) < 0.7, liked, rng.choice(size, n, p=payees.share))
    for wanted, fits in ((kind == "online", remote), (kind != "online", ~remote | (payees.kind == BRAND))):
        pool = payees.share * fits
        wrong = wanted & ~fits[chosen]
        chosen[wrong] = rng.choice(size, int(wrong.sum()), p=pool / pool.sum())
    closed = payees.opens_day[chosen] * DAY_MS + start_ms > time
    settled = payees.share * (payees.opens_day == 0)
    chosen[closed] = rng.choice(size, int(closed.sum()), p=settled / settled.sum())
    return np.asarray(chosen, np.int64)


def _channels(kind: Texts, rail: Texts, rng: np.random.Generator) -> Texts:
    n = len(kind)
    qr = np.where(rng.random(n) < 0.7, "qr_static", "qr_dynamic")
    remote = np.where(rng.random(n) < 0.6, "in_app", "online")
    pos = np.where(rail == "card", "pos", qr)
    return np.select(
        [kind == "online", kind == "p2p", kind == "collect", kind == "pos", rail == "card"],
        [remote, "p2p", "collect", pos, "pos"],
        qr,
    ).astype(object)


def devices(payers: Payers, payer: Places, rng: np.random.Generator) -> Texts:
    """The usual device; one payment in twenty-five comes from a second one, one in eighty from a new one."""
    n, draw = len(payer), rng.random(len(payer))
    once = numbered("d3-", rng.integers(0, 1 << 30, n))
    return np.select([draw < 0.0125, draw < 0.0525], [once, numbered("d2-", payer)], payers.device[payer])
