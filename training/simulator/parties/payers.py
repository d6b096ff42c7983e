"""Payers: age, family, phones, instruments, home address, trips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.arrays import Flags, Floats, Integers
from training.simulator.parameters import World
from training.simulator.parties.merchants import CITIES, FOREIGN
from training.simulator.random_streams import share_of, stream

PHONES = 4
"""Device numbers per person: the first phone, its successor, a second phone, one unused."""
VPA, WALLET, CARD, ACCOUNT = range(4)
"""Kinds of instrument; the instrument of kind k of person n has the number 4 n + k."""

JOINED_BEFORE = 0.82
"""Share of payers who joined before the first day; the others join day by day."""
RESERVE = 60
"""One account in RESERVE is opened by fraudsters."""
_HOME, _MOBILE, _OFFICE = 0x0A000000, 0x64400000, 0xAC100000
_ONCE, _ABROAD, _RENTED = 0x2A000000, 0x51000000, 0xC6120000


@dataclass(frozen=True)
class Payers:
    """One row per account; the last `reserve` rows belong to fraudsters.

    `edges` is the running sum of activity (Zipf-Mandelbrot), `age` is 0 (young), 1 or 2 (old), `spend` multiplies
    amounts, `head` is the family member whose home address, and for some whose phone, the row uses.
    """

    count: int
    reserve: int
    seed: int
    edges: Floats
    age: Integers
    spend: Floats
    city: Integers
    head: Integers
    shares_phone: Flags
    second_phone: Flags
    new_phone_day: Integers
    joins_day: Integers
    has_wallet: Flags
    has_card: Flags
    level: Integers

    def active(self, n: int, day: int, rng: np.random.Generator) -> Integers:
        """`n` payers by activity, among those who have joined by `day`."""
        chosen = np.searchsorted(self.edges, rng.random(n) * self.edges[-1], side="right").astype(np.int64)
        joined = self.joined(day)
        return np.where(chosen < joined, chosen, rng.integers(0, max(joined, 1), n))

    def joined(self, day: int) -> int:
        """The number of honest payers who have joined by a day; they have the lowest numbers."""
        return max(1, int(np.searchsorted(self.joins_day[: self.count], day, side="right")))

    def recently_opened(self, day: Integers, rng: np.random.Generator, within_days: int = 20) -> Integers:
        """For each day an account that fraudsters opened recently (the nearest one if there is none)."""
        joins = self.joins_day[self.count :]
        last = np.maximum(np.searchsorted(joins, day, side="right"), 1)
        first = np.minimum(np.searchsorted(joins, day - within_days, side="left"), last - 1)
        return np.asarray(self.count + first + (rng.random(len(day)) * (last - first)).astype(np.int64), np.int64)

    def relative(self, person: Integers, rng: np.random.Generator) -> Integers:
        """An acquaintance of each person: a near number, the nearest most often; never the person."""
        step = 1 + (14 * rng.random(len(person)) ** 2.2).astype(np.int64)
        other = np.where(rng.random(len(person)) < 0.5, person + step, person - step)
        inside = np.minimum(person, self.count - 1)
        return np.where((other < 0) | (other >= self.count), (inside + self.count // 2) % self.count, other)

    def phone(self, person: Integers, day: Integers, rng: np.random.Generator) -> Integers:
        """The device of each payment: the family's, the own phone, its successor, or sometimes a second phone."""
        owner = np.where(self.shares_phone[person], self.head[person], person)
        phone = PHONES * owner + (day >= self.new_phone_day[owner])
        second = self.second_phone[person] & (rng.random(len(person)) < 0.15)
        return np.where(second, PHONES * person + 2, phone)

    def address(self, person: Integers, rng: np.random.Generator) -> Integers:
        """An IPv4 address as a number: home, shared (mobile network or office), or one-time."""
        n, draw = len(person), rng.random(len(person))
        home = _HOME + self.head[person] % (1 << 24)
        mobile = _MOBILE + self.city[person] * 4096 + rng.integers(0, 1500, n)
        office = _OFFICE + (share_of(person, f"{self.seed}/office") * 60_000).astype(np.int64)
        once = _ONCE + rng.integers(0, 1 << 22, n)
        return np.select([draw < 0.42, draw < 0.86, draw < 0.94], [home, mobile, office], once)

    def trip(self, person: Integers, day: int) -> tuple[Integers, Integers]:
        """(city of a domestic trip, country of a trip abroad) of each person on a day; -1: no such trip."""
        kind = share_of(person, f"{self.seed}/traveller")
        every = 50 + (share_of(person, f"{self.seed}/every") * 150).astype(np.int64)
        begins = (share_of(person, f"{self.seed}/begins") * every).astype(np.int64)
        number, into = np.divmod(day + begins, every)
        away = into < 3 + (share_of(person, f"{self.seed}/stays") * 9).astype(np.int64)
        draw = share_of(person * 1_009 + number, f"{self.seed}/where")
        city = np.where(away & (kind < 0.30), (draw * len(CITIES)).astype(np.int64), -1)
        abroad = np.where(away & (kind > 0.93), 1 + (draw * len(FOREIGN)).astype(np.int64), -1)
        return city, abroad


def address_abroad(country: Integers, rng: np.random.Generator) -> Integers:
    """An IP address of a visitor in a foreign country."""
    return np.asarray(_ABROAD + country * 65_536 + rng.integers(0, 9_000, len(country)), np.int64)


def rented_address(number: Integers) -> Integers:
    """The address of a rented server or VPN, used by fraudsters and by some honest payers."""
    return np.asarray(_RENTED + number % 3_000, np.int64)


def payers(world: World) -> Payers:
    """The payers of a world."""
    n, reserve = world.payers, max(40, world.payers // RESERVE)
    total = n + reserve
    rng = stream(world.seed, "people")
    family = np.cumsum(rng.random(total) < 0.42)
    head = np.searchsorted(family, family)
    activity = (rng.permutation(n) + 1.0 + n / 200) ** -0.9
    joins = np.zeros(total, np.int64)
    first = int(n * JOINED_BEFORE)
    joins[first:n] = np.sort(rng.integers(0, world.days, n - first))
    joins[n:] = np.sort(rng.integers(-25, world.days, reserve))
    age = rng.choice(3, total, p=(0.40, 0.42, 0.18))
    spend = rng.lognormal(0.0, 0.55, total) * np.array([0.75, 1.2, 0.95])[age]
    return Payers(
        count=n,
        reserve=reserve,
        seed=world.seed,
        edges=np.cumsum(activity),
        age=age.astype(np.int64),
        spend=spend,
        city=rng.choice(len(CITIES), total, p=CITIES[:, 2] / CITIES[:, 2].sum())[head].astype(np.int64),
        head=head.astype(np.int64),
        shares_phone=(rng.random(total) < 0.22) & (head < n),
        second_phone=rng.random(total) < 0.15,
        new_phone_day=rng.integers(-400, 500, total),
        joins_day=joins,
        has_wallet=rng.random(total) < np.array([0.75, 0.55, 0.30])[age],
        has_card=rng.random(total) < np.array([0.45, 0.70, 0.55])[age],
        level=rng.choice(np.array([1, 2, 3]), total, p=(0.20, 0.50, 0.30)).astype(np.int64),
    )
