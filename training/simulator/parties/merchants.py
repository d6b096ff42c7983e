"""Payees: stores with QR codes, brands at home and abroad, new small merchants every day, and persons.

A payee is a number; its fixed properties (city, category, prices, kind of QR code) are hashed from the number, so
that a million stores cost no memory. Ranges of numbers, in order: stores, local brands, international brands,
merchants that open during the simulation, fraudulent merchants, persons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.arrays import Flags, Floats, Integers
from training.simulator.parameters import World
from training.simulator.random_streams import power_law, share_of

CITIES = np.array(
    [
        (28.61, 77.21, 19.0), (19.08, 72.88, 18.0), (12.97, 77.59, 13.0), (17.39, 78.49, 10.0), (13.08, 80.27, 9.0),
        (22.57, 88.36, 9.0), (23.02, 72.57, 7.0), (18.52, 73.86, 6.0), (26.91, 75.79, 5.0), (26.85, 80.95, 4.0),
    ]
)  # fmt: skip
"""Latitude and longitude in degrees, weight: Delhi, Mumbai, Bengaluru, Hyderabad, Chennai, Kolkata, Ahmedabad, ..."""

FOREIGN = ("US", "GB", "SG", "AE", "DE", "HK")
COUNTRIES = ("IN", *FOREIGN)
CURRENCIES = ("INR", "USD", "GBP", "SGD", "AED", "EUR", "HKD")
PER_RUPEE = np.array([1.0, 1 / 85, 0.77 / 85, 1.33 / 85, 3.67 / 85, 0.9 / 85, 7.8 / 85])
CAPITALS = np.array(
    [[20.6, 78.9], [40.71, -74.01], [51.51, -0.13], [1.35, 103.82], [25.20, 55.27], [52.52, 13.41], [22.32, 114.17]]
)
"""Locations of payments abroad, in the order of COUNTRIES."""

STORE_MCC = np.array([5411, 5499, 5814, 5812, 5912, 5331, 5251, 5541, 7230, 4121])
BRAND_MCC = np.array([5732, 5651, 4814, 5411, 5812, 4899, 5311, 5977, 5816, 4111])
ABROAD_MCC = np.array([5818, 5816, 4722, 5734, 5691, 5732, 7011, 5999])
NEWCOMER_MCC = np.array([5411, 5814, 5499, 5999, 7299, 5691, 5732, 5977])

BRAND_HEAD, STORE_HEAD = 60.0, 25.0


@dataclass(frozen=True)
class Payees:
    """The number of payees of each kind; methods take and return payee numbers, int64."""

    seed: int
    stores: int
    brands: int
    abroad: int
    new_per_day: int
    days: int
    rogues: int

    @property
    def first_brand(self) -> int:
        """Number of the first local brand."""
        return self.stores

    @property
    def first_abroad(self) -> int:
        """Number of the first international brand."""
        return self.stores + self.brands

    @property
    def first_new(self) -> int:
        """Number of the first merchant of day 0; each day has `new_per_day` of them."""
        return self.first_abroad + self.abroad

    @property
    def first_rogue(self) -> int:
        """Number of the first merchant opened for fraud."""
        return self.first_new + self.new_per_day * self.days

    @property
    def first_person(self) -> int:
        """Number of person 0 as a payee."""
        return self.first_rogue + self.rogues

    def store(self, city: Integers, draw: Floats) -> Integers:
        """Stores of a city by popularity, one per `draw` (0..1)."""
        share = np.cumsum(np.concatenate([[0.0], CITIES[:, 2]])) / CITIES[:, 2].sum()
        edges = (share * self.stores).astype(np.int64)
        size = np.maximum(edges[city + 1] - edges[city], 1)
        return np.asarray(np.minimum(edges[city] + power_law(draw, size, 0.95, STORE_HEAD), self.stores - 1), np.int64)

    def brand(self, draw: Floats) -> Integers:
        """Local brands by popularity."""
        return np.asarray(self.first_brand + power_law(draw, self.brands, 1.05, BRAND_HEAD), np.int64)

    def brand_abroad(self, draw: Floats, country: Integers | None = None) -> Integers:
        """International brands by popularity, of one country of COUNTRIES (1..) where it is given."""
        if country is None:
            return np.asarray(self.first_abroad + power_law(draw, self.abroad, 0.9, BRAND_HEAD), np.int64)
        row = power_law(draw, max(self.abroad // len(FOREIGN), 1), 0.9, BRAND_HEAD)
        number = np.minimum(row * len(FOREIGN) + country - 1, self.abroad - 1)
        return np.asarray(self.first_abroad + number, np.int64)

    def newcomer(self, day: int, city: Integers, rng: np.random.Generator) -> Integers:
        """A recently opened merchant, of the city if possible; a store if none has opened yet."""
        n = len(city)
        opened = day - np.minimum(rng.geometric(1 / 25, n) - 1, 400)
        slot = power_law(rng.random(n), max(self.new_per_day // len(CITIES), 1), 0.8, 2.0) * len(CITIES) + city
        chosen = self.first_new + opened * self.new_per_day + np.minimum(slot, self.new_per_day - 1)
        return np.where(opened >= 0, chosen, self.store(city, rng.random(n)))

    def opens_day(self, payee: Integers) -> Integers:
        """The day of the world on which a new merchant opens; below 0 for all other payees."""
        inside = (payee >= self.first_new) & (payee < self.first_rogue)
        return np.where(inside, (payee - self.first_new) // self.new_per_day, -1)

    def is_abroad(self, payee: Integers) -> Flags:
        """Whether a payee is an international brand."""
        return (payee >= self.first_abroad) & (payee < self.first_new)

    def country(self, payee: Integers) -> Integers:
        """Index in COUNTRIES; some international brands sell through a domestic company."""
        at_home = share_of(payee, f"{self.seed}/entity") < 0.12
        own = 1 + (payee - self.first_abroad) % len(FOREIGN)
        return np.where(self.is_abroad(payee) & ~at_home, own, 0)

    def city(self, payee: Integers) -> Integers:
        """Index in CITIES of a merchant."""
        share = np.cumsum(CITIES[:, 2]) / CITIES[:, 2].sum()
        of_store = np.searchsorted(share, (payee + 0.5) / self.stores, side="right")
        newcomer = ((payee - self.first_new) % self.new_per_day) % len(CITIES)
        other = (share_of(payee, f"{self.seed}/city") * len(CITIES)).astype(np.int64)
        inside = (payee >= self.first_new) & (payee < self.first_rogue)
        return np.minimum(np.where(payee < self.stores, of_store, np.where(inside, newcomer, other)), len(CITIES) - 1)

    def mcc(self, payee: Integers) -> Integers:
        """Merchant category code, -1 for a person."""
        draw = share_of(payee, f"{self.seed}/mcc")
        kinds = [
            (payee < self.stores, STORE_MCC),
            (payee < self.first_abroad, BRAND_MCC),
            (payee < self.first_new, ABROAD_MCC),
        ]
        choices = [codes[(draw * len(codes)).astype(np.int64)] for _, codes in kinds]
        newcomer = NEWCOMER_MCC[(draw * len(NEWCOMER_MCC)).astype(np.int64)]
        brand = BRAND_MCC[(draw * len(BRAND_MCC)).astype(np.int64)]
        newcomer = np.where((payee >= self.first_rogue) & (self.size(payee) > 1), brand, newcomer)
        return np.where(payee >= self.first_person, -1, np.select([at for at, _ in kinds], choices, newcomer))

    def price(self, payee: Integers) -> Floats:
        """A merchant's price level relative to similar merchants, around 1."""
        draw = share_of(payee, f"{self.seed}/price") + share_of(payee, f"{self.seed}/price again")
        return np.where(payee >= self.first_person, 1.0, np.exp(1.5 * (draw - 1.0)))

    def static_code(self, payee: Integers) -> Flags:
        """Whether the QR code at the till is static (printed)."""
        return share_of(payee, f"{self.seed}/code") < 0.68

    def size(self, payee: Integers) -> Integers:
        """Size class 0 (street stall) to 4 (international brand) of a merchant."""
        draw = share_of(payee, f"{self.seed}/size")
        store = (draw * 2.2).astype(np.int64)
        brand = 2 + (draw * 2).astype(np.int64)
        kinds = [payee < self.stores, payee < self.first_abroad, payee < self.first_new, payee >= self.first_rogue]
        bought = (draw * 3.2).astype(np.int64)
        return np.select(kinds, [store, brand, np.full(len(payee), 4), bought], (draw * 1.3).astype(np.int64))

    def spot(self, payee: Integers) -> tuple[Floats, Floats]:
        """Latitude and longitude of a store, degrees."""
        centre = CITIES[self.city(payee), :2]
        return (
            centre[:, 0] + 0.24 * (share_of(payee, f"{self.seed}/north") - 0.5),
            centre[:, 1] + 0.24 * (share_of(payee, f"{self.seed}/east") - 0.5),
        )


def payees(world: World) -> Payees:
    """The payees of a world."""
    return Payees(
        seed=world.seed, stores=world.stores, brands=world.local_brands, abroad=world.international_brands,
        new_per_day=world.new_merchants_per_day, days=world.days,
        rogues=12 + int(world.payments * world.fraud_share / 100),
    )  # fmt: skip
