"""A small seeded world of payments for the demo and the tests: people, habits, three fraud stories, late labels.

Simulated payments prove machinery, not detection: the frauds here are drawn by the same hand as the features
that find them, so a figure measured on this world says nothing about real traffic.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.errors import InvalidDeclaration
from features.history import HISTORY_SCHEMA
from features.profiles import ProfileRow
from training.world_frauds import STORIES
from training.world_habits import Rows, honest_payments
from training.world_people import DAY_MS, Places, Texts, make_payees, make_payers, numbered, profiles_of

MOST_PAYMENTS = 5_000_000
ABSENT = ("device_id", "ip", "mcc")


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a world: size, time, how much fraud, and how late and how completely it is reported."""

    payments: int = 120_000
    days: int = 75
    payers: int = 4_000
    payees: int = 700
    start: dt.date = dt.date(2026, 8, 1)
    fraud_share: float = 0.004
    """Share of all payments that are fraud (0..0.1)."""
    stories: dict[str, int] = msgspec.field(
        default_factory=lambda: {"card testing": 5, "account takeover": 8, "collect request": 11}
    )
    """The fraud stories that happen, each with the day of the world on which it begins."""
    reported_share: float = 0.85
    """Share of frauds that anybody ever reports; the others look legitimate for good."""
    seed: int = 11_11

    def problems(self) -> list[str]:
        """Every sentence about what cannot be, with its repair."""
        found = []
        for name, low, high in (("payments", 100, MOST_PAYMENTS), ("days", 2, 3_650), ("payers", 20, 1_000_000),
                                ("payees", 8, 1_000_000), ("seed", 0, 2**32 - 1)):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                found.append(f"{name} is {getattr(self, name)}: it must lie in {low}..{high}.")
        if not 0 <= self.fraud_share <= 0.1:
            found.append(f"fraud_share is {self.fraud_share}: it must lie in 0..0.1.")
        if not 0 <= self.reported_share <= 1:
            found.append(f"reported_share is {self.reported_share}: it is a share and must lie in 0..1.")
        for story, day in self.stories.items():
            if story not in STORIES:
                found.append(f"There is no story {story!r}: use {', '.join(STORIES)}.")
            if not 0 <= day < self.days:
                found.append(f"The story {story!r} begins on day {day}: it must lie in 0..{self.days - 1}.")
        if self.stories and 0 < self.fraud_share * self.payments < len(self.stories):
            found.append("fraud_share is so small that a story would have no payment: raise it, or name no story.")
        return found

    @property
    def start_ms(self) -> int:
        """The first moment, ms UTC."""
        return int(dt.datetime.combine(self.start, dt.time(), dt.UTC).timestamp() * 1000)


@dataclass(frozen=True)
class Simulation:
    """A history in HISTORY_SCHEMA, what is known of the parties, and the story behind each row (None: honest)."""

    history: pa.Table
    profiles: list[tuple[str, ProfileRow]]
    stories: Texts


def simulate(world: World) -> Simulation:
    """Live through the world; the same parameters give the same payments, to the bit.

    Raises:
        InvalidDeclaration: parameters that cannot be, all problems together.
    """
    problems = world.problems()
    if problems:
        raise InvalidDeclaration(problems)
    seeds = np.random.SeedSequence(world.seed).generate_state(4 + len(STORIES)).tolist()
    people, places, habits, afterwards, *for_stories = seeds
    payers = make_payers(world.payers, world.start_ms, np.random.default_rng(people))
    payees = make_payees(world.payees, world.days, world.start_ms, np.random.default_rng(places))

    frauds = round(world.payments * world.fraud_share) if world.stories else 0
    parts = [honest_payments(world.payments - frauds, world.days, world.start_ms, payers, payees, habits)]
    chosen = [(story, seed) for story, seed in zip(STORIES, for_stories, strict=True) if story in world.stories]
    for i, (story, seed) in enumerate(chosen if frauds else ()):
        n = frauds // len(chosen) + (i < frauds % len(chosen))
        parts.append(STORIES[story](n, world.stories[story], world.days, world.start_ms, payers, payees, seed))
    rows = _in_order(parts)
    rows |= what_became_of_them(rows, world, np.random.default_rng(afterwards))
    return Simulation(_table(rows), profiles_of(payers, payees), rows["story"])


def what_became_of_them(rows: Rows, world: World, rng: np.random.Generator) -> Rows:
    """Outcomes within seconds; of the frauds that passed, late and incomplete reports; a few cleared alarms.

    What would become known after the last moment of the world is not in it: nobody knows it yet.
    """
    time, story = rows["time"].astype(np.int64), rows["story"]
    n = len(time)
    fraud = story != None  # noqa: E711  (elementwise)
    refusal = np.select([story == "card testing", fraud], [0.45, 0.12], 0.03)
    declined = rng.random(n) < refusal
    outcome_ms = time + rng.integers(200, 3_000, n)

    stolen_card = story == "card testing"
    chargeback = stolen_card & (rng.random(n) < 0.4)
    delay_days = np.where(chargeback, 10 + rng.beta(1.5, 4.0, n) * 50, rng.beta(1.2, 3.0, n) * 14)
    label_ms = time + 60_000 + (delay_days * DAY_MS).astype(np.int64)
    reported = fraud & (rng.random(n) < world.reported_share)
    cleared = ~fraud & (rng.random(n) < 0.002)
    end_ms = world.start_ms + world.days * DAY_MS
    known = (reported | cleared) & (label_ms < end_ms)
    source = np.select([cleared, chargeback, stolen_card], ["review", "chargeback", "network_alert"], "customer_report")
    answered = outcome_ms < end_ms
    return {
        "outcome": _where(answered, np.where(declined, "declined", "authorised")),
        "outcome_time": _where(answered, outcome_ms),
        "label": _where(known, np.where(fraud, "fraud", "legitimate")),
        "label_source": _where(known, source),
        "label_time": _where(known, label_ms),
    }


def _where(told: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> Texts:
    """The values where they are told, None elsewhere."""
    column = values.astype(object)
    column[~told] = None
    return column


def _in_order(parts: list[Rows]) -> Rows:
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(rows["time"].astype(np.int64), kind="stable")
    rows = {name: column[order] for name, column in rows.items()}
    n = len(order)
    rows["transaction_id"] = numbered("w-", np.arange(n))
    rows["event_time"] = rows["time"]
    rows["payer_country"] = np.full(n, "IN", dtype=object)
    return rows


def _table(rows: Rows) -> pa.Table:
    columns = []
    for field in HISTORY_SCHEMA:
        values = rows[field.name]
        if pa.types.is_timestamp(field.type):
            column = pa.array(values.tolist(), pa.int64()).cast(field.type)
        elif pa.types.is_floating(field.type):
            column = pa.array(values.astype(np.float64), from_pandas=True)  # NaN: not sent
        else:
            column = pa.array(values.tolist(), field.type)
        columns.append(column)
    return pa.table(columns, schema=HISTORY_SCHEMA)


def moments_of(history: pa.Table) -> Places:
    """Event times of a history, ms UTC, int64[n]."""
    return np.asarray(history["event_time"].cast(pa.int64()).to_numpy(), np.int64)
