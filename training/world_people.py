"""Who lives in the small world: payers with instruments and devices, payees of every size, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from features.profiles import InstrumentProfile, PayeeProfile, PayerProfile, ProfileRow

DAY_MS = 86_400_000
Texts = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

CITIES = np.array(
    [[12.97, 77.59], [28.61, 77.21], [19.08, 72.88], [13.08, 80.27], [22.57, 88.36], [17.39, 78.49], [26.91, 75.79]]
)
"""Latitude and longitude, degrees: Bengaluru, Delhi, Mumbai, Chennai, Kolkata, Hyderabad, Jaipur."""

STORE, BRAND, ABROAD, NEWCOMER = range(4)
_KIND_SHARES = (0.60, 0.14, 0.06, 0.20)
_MCCS = {
    STORE: ("5411", "5812", "5912", "5499"),
    BRAND: ("5732", "4814", "5651", "4900"),
    ABROAD: ("5818", "4722", "5734"),
    NEWCOMER: ("5411", "5814", "5999", "7299"),
}
_COUNTRIES = ("US", "GB", "SG", "AE", "DE")
CURRENCY_OF = {"IN": "INR", "US": "USD", "GB": "GBP", "SG": "SGD", "AE": "AED", "DE": "EUR"}


@dataclass(frozen=True)
class Payers:
    """One entry per payer; `share` is Zipf's law of activity and sums to 1, `spend` multiplies amounts."""

    ids: Texts
    share: Numbers
    spend: Numbers
    city: Places
    device: Texts
    home_ip: Texts
    has_wallet: npt.NDArray[np.bool_]
    has_card: npt.NDArray[np.bool_]
    known_since_ms: Places
    level: Places

    def instrument(self, payer: Places, rail: Texts) -> tuple[Texts, Texts]:
        """(instrument, rail) of payers who would like to pay by `rail`: without wallet or card it is UPI."""
        wallet, card = (rail == "wallet") & self.has_wallet[payer], (rail == "card") & self.has_card[payer]
        bank = rail == "netbanking"
        word = np.select([wallet, card, bank], ["wal", "card", "acc"], "vpa").astype(object)
        paid = np.select([wallet, card, bank], ["wallet", "card", "netbanking"], "upi").astype(object)
        return word + "-" + payer.astype(str).astype(object), paid


@dataclass(frozen=True)
class Payees:
    """One entry per payee; `opens_day` is the day of the world on which a newcomer appears, 0 for the others."""

    ids: Texts
    kind: Places
    share: Numbers
    city: Places
    country: Texts
    mcc: Texts
    size: Places
    opens_day: Places
    known_since_ms: Places


def zipf(n: int, exponent: float, rng: np.random.Generator) -> Numbers:
    """Shares that fall with a random rank to the power of `-exponent`, float64[n], summing to 1."""
    weights = (1.0 + rng.permutation(n)) ** -exponent
    return np.asarray(weights / weights.sum(), np.float64)


def numbered(prefix: str, numbers: npt.ArrayLike) -> Texts:
    """Identifiers: a prefix before each number."""
    return np.asarray([f"{prefix}{n}" for n in np.asarray(numbers).tolist()], dtype=object)


def make_payers(n: int, start_ms: int, rng: np.random.Generator) -> Payers:
    """Payers in families: three in ten use the device of the family's first member, all of a family one address."""
    family = np.cumsum(rng.random(n) < 0.45)
    first = np.searchsorted(family, family)
    shares_device = rng.random(n) < 0.3
    return Payers(
        ids=numbered("u-", np.arange(n)),
        share=zipf(n, 0.7, rng),
        spend=rng.lognormal(0.0, 0.5, n),
        city=rng.integers(0, len(CITIES), n)[first],
        device=numbered("d-", np.where(shares_device, first, np.arange(n))),
        home_ip=np.asarray([f"10.{f >> 16}.{f >> 8 & 255}.{f & 255}" for f in family.tolist()], dtype=object),
        has_wallet=rng.random(n) < 0.6,
        has_card=rng.random(n) < 0.45,
        known_since_ms=start_ms - (rng.random(n) * 1000 * DAY_MS).astype(np.int64),
        level=rng.choice(np.array([1, 2, 3]), n, p=[0.2, 0.5, 0.3]),
    )


def make_payees(n: int, days: int, start_ms: int, rng: np.random.Generator) -> Payees:
    """Stores with a QR code, brands, brands abroad, and small merchants of whom some appear while we watch."""
    kind = rng.choice(4, n, p=_KIND_SHARES)
    kind[:4] = (STORE, BRAND, ABROAD, NEWCOMER)  # none is missing, however small the world
    opens = np.where(kind == NEWCOMER, rng.integers(0, max(days - 2, 1), n), 0)
    age_ms = (rng.random(n) * 2000 * DAY_MS).astype(np.int64)
    low, high = np.array([0, 2, 4, 0]), np.array([2, 4, 5, 1])
    boost = np.array([1.0, 6.0, 4.0, 0.5])[kind]
    share = zipf(n, 0.6, rng) * boost
    return Payees(
        ids=numbered("m-", np.arange(n)),
        kind=kind.astype(np.int64),
        share=share / share.sum(),
        city=rng.integers(0, len(CITIES), n),
        country=np.where(kind == ABROAD, rng.choice(np.array(_COUNTRIES, object), n), "IN").astype(object),
        mcc=np.asarray([_MCCS[k][v % len(_MCCS[k])] for k, v in zip(kind.tolist(), range(n), strict=True)], object),
        size=rng.integers(low[kind], high[kind]),
        opens_day=opens.astype(np.int64),
        known_since_ms=np.where(kind == NEWCOMER, start_ms + opens * DAY_MS, start_ms - age_ms),
    )


def profiles_of(payers: Payers, payees: Payees) -> list[tuple[str, ProfileRow]]:
    """What is known of each party beside its payments, from the day it became known."""
    rows: list[tuple[str, ProfileRow]] = []
    for i, since in enumerate(payers.known_since_ms.tolist()):
        rows.append(
            (str(payers.ids[i]), PayerProfile(event_time_ms=since, created_time_ms=since, known_since_ms=since,
                                              home_country="IN", verification_level=int(payers.level[i])))
        )  # fmt: skip
        for word, kind, has in (("vpa", "upi", True), ("wal", "wallet", payers.has_wallet[i]),
                                ("card", "card", payers.has_card[i])):  # fmt: skip
            if has:
                rows.append(
                    (f"{word}-{i}", InstrumentProfile(event_time_ms=since, created_time_ms=since, known_since_ms=since,
                                                      kind=kind, issuer_country="IN"))
                )  # fmt: skip
    for i, since in enumerate(payees.known_since_ms.tolist()):
        rows.append(
            (str(payees.ids[i]), PayeeProfile(event_time_ms=since, created_time_ms=since, known_since_ms=since,
                                              mcc=str(payees.mcc[i]), country=str(payees.country[i]),
                                              size=int(payees.size[i])))
        )  # fmt: skip
    return rows
