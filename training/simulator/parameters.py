"""The parameters of a world, their validation, and the digest that identifies a world."""

from __future__ import annotations

import datetime as dt
import hashlib

import msgspec
import numpy as np

from features.errors import InvalidDeclaration

VERSION = 1
"""Raised whenever the same parameters give other payments; fixed before a model is tuned on the world."""

MOST_PAYMENTS, MOST_PAYERS, MOST_PAYEES, MOST_DAYS = 2_000_000_000, 50_000_000, 100_000_000, 3_650
DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
IST_MS = 330 * MINUTE_MS
"""A day of the world is a day in India, five and a half hours ahead of UTC."""

START_SHARES = {
    "card testing": 0.0,
    "account takeover": 0.0,
    "collect request": 0.0,
    "stolen card": 0.0,
    "friendly fraud": 0.0,
    "mule": 0.10,
    "promotion abuse": 0.20,
    "bust-out merchant": 0.25,
    "qr swap": 0.78,
}
"""The typologies, and the share of the history after which each begins: the last one after the learn period."""


class World(
    msgspec.Struct, frozen=True, kw_only=True, rename={"typologies": "stories", "typology_starts": "story_starts"}
):
    """A world: its size and dates, the share and kinds of fraud, and how completely fraud is reported.

    In JSON, and so in the digest, `typologies` and `typology_starts` are named `stories` and `story_starts`.
    """

    payments: int = 3_000_000
    days: int = 150
    start: dt.date = dt.date(2026, 7, 1)
    payers: int = 100_000
    stores: int = 1_100_000
    local_brands: int = 100_000
    international_brands: int = 11_000
    new_merchants_per_day: int = 140
    growth_per_year: float = 0.32
    fraud_share: float = 0.0016
    """Fraud payments among all while every typology is active (0..0.05); the default world holds 0.05-0.2 %."""
    typologies: tuple[str, ...] = tuple(START_SHARES)
    """The active typologies."""
    typology_starts: dict[str, dt.date] = {}
    """First day of a typology, if not by its usual share of the history."""
    festival: bool = True
    """Whether 11/11 and the smaller sale days before it take place."""
    adapts: bool = True
    """Whether fraudsters change their behaviour after a decline."""
    never_reported_share: float = 0.15
    wrong_label_share: float = 0.02
    """Share of the reported frauds that are cleared by mistake; as many honest payments are labelled fraud."""
    seed: int = 11_11

    @property
    def start_ms(self) -> int:
        """Start of the first day, midnight in India, ms UTC."""
        return int(dt.datetime.combine(self.start, dt.time(), dt.UTC).timestamp() * 1000) - IST_MS

    @property
    def end_ms(self) -> int:
        """End of the last day, ms UTC."""
        return self.start_ms + self.days * DAY_MS

    @property
    def dates(self) -> tuple[dt.date, ...]:
        """Every day of the world."""
        return tuple(self.start + dt.timedelta(days=day) for day in range(self.days))

    @property
    def digest(self) -> str:
        """SHA-256 of version and parameters, in hex; partitions of one digest belong together."""
        identity = {
            "world": VERSION,
            "numpy": ".".join(np.__version__.split(".")[:1]),
            **msgspec.to_builtins(self),
        }
        return hashlib.sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()

    def first_day(self, typology: str) -> int:
        """The day of the world (0 = first) on which a typology begins."""
        if typology in self.typology_starts:
            return (self.typology_starts[typology] - self.start).days
        return int(START_SHARES[typology] * self.days)

    def problems(self) -> list[str]:
        """Every invalid parameter, each with its repair."""
        found = []
        for name, low, high in (
            ("payments", 100, MOST_PAYMENTS), ("days", 2, MOST_DAYS), ("payers", 50, MOST_PAYERS),
            ("stores", 20, MOST_PAYEES), ("local_brands", 20, MOST_PAYEES), ("international_brands", 20, MOST_PAYEES),
            ("new_merchants_per_day", 1, 1_000_000), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                found.append(f"{name} is {getattr(self, name)}: give a number in {low:,}..{high:,}.")
        if self.days < 1:
            found.append(f"The world would end {1 - self.days} days before its start {self.start}: give a later end.")
        for name, most in (
            ("fraud_share", 0.05), ("never_reported_share", 1.0), ("wrong_label_share", 0.5), ("growth_per_year", 10.0)
        ):  # fmt: skip
            if not 0 <= getattr(self, name) <= most:
                found.append(f"{name} is {getattr(self, name)}: it is a share, give one in 0..{most:g}.")
        for typology in dict.fromkeys((*self.typologies, *self.typology_starts)):
            if typology not in START_SHARES:
                found.append(f"There is no story {typology!r}: use {', '.join(START_SHARES)}.")
        for typology, date in self.typology_starts.items():
            if not self.start <= date < self.start + dt.timedelta(days=max(self.days, 1)):
                found.append(f"The story {typology!r} begins on {date}: name a day of the world, from {self.start} on.")
        return found

    def check(self) -> None:
        """Refuse invalid parameters.

        Raises:
            InvalidDeclaration: all problems together, each with its repair.
        """
        problems = self.problems()
        if problems:
            raise InvalidDeclaration(problems)


def days_between(start: dt.date, end: dt.date) -> int:
    """Days from the first to the last day, both included; 0 or less if the end lies before the start."""
    return (end - start).days + 1
