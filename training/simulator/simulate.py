"""Simulates a world day by day; each day can be simulated alone, with the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.state.profiles import ProfileRow
from training.data.arrays import Integers
from training.simulator.parameters import DAY_MS, World
from training.simulator.parties.merchants import payees
from training.simulator.parties.payers import payers
from training.simulator.profiles import profiles_of
from training.simulator.rows import Rows, by_time, concatenated, select_rows
from training.simulator.tables import tables
from training.simulator.traffic.calendar import traffic_calendar
from training.simulator.traffic.episodes import WorldContext
from training.simulator.traffic.hard_negatives import hard_negatives
from training.simulator.traffic.honest import honest_day
from training.simulator.typologies.registry import TYPOLOGIES, typology_rows


@dataclass(frozen=True)
class Simulation:
    """A small world in memory: history in HISTORY_SCHEMA, profiles, and the typology of each row (None: honest)."""

    history: pa.Table
    profiles: list[tuple[str, ProfileRow]]
    typologies: npt.NDArray[np.object_]


class Simulator:
    """Simulates the days of a world; parties, typologies and hard negatives are drawn at construction."""

    def __init__(self, world: World) -> None:
        """Raises: InvalidDeclaration with every invalid parameter."""
        world.check()
        self.world = world
        self.ctx = WorldContext(world, payers(world), payees(world), traffic_calendar(world))
        parts = [typology_rows(self.ctx, name) for name in TYPOLOGIES if name in world.typologies]
        self.episodes = by_time(concatenated([*parts, hard_negatives(self.ctx)]))
        starts = world.start_ms + DAY_MS * np.arange(world.days + 1)
        self._edges: Integers = np.searchsorted(self.episodes["time"], starts).astype(np.int64)

    def expected(self, day: int) -> int:
        """The number of payments of a day."""
        return max(int(self.ctx.calendar.payments[day]), int(self._edges[day + 1] - self._edges[day]))

    def rows(self, day: int) -> Rows:
        """The payments of one day as numbers, in order of time."""
        of_the_day = select_rows(self.episodes, np.arange(self._edges[day], self._edges[day + 1]))
        ctx, others = self.ctx, len(of_the_day["time"])
        honest = honest_day(ctx.payers, ctx.payees, ctx.calendar, day, max(self.expected(day) - others, 0))
        rows = by_time(concatenated([honest, of_the_day]))
        # no payer pays the own account
        first, count = ctx.payees.first_person, ctx.payers.count
        to_self = rows["payee"] == rows["payer"] + first
        rows["payee"] = np.where(to_self, first + (rows["payer"] + 1) % count, rows["payee"])
        return rows

    def tables(self, day: int) -> tuple[pa.Table, pa.Table]:
        """(history, truth) of one day."""
        return tables(self.world, self.ctx.payees, self.rows(day), day, self.ctx.stream("afterwards", day))

    def days(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """(history, truth) of each day."""
        return (self.tables(day) for day in range(self.world.days))


def simulate(world: World) -> Simulation:
    """Simulate a small world in memory; large ones are written day by day (training/simulator/storage.py).

    Raises:
        InvalidDeclaration: the parameters are invalid; every problem is named.
    """
    simulator = Simulator(world)
    parts = list(simulator.days())
    history = pa.concat_tables([history for history, _ in parts])
    typologies = pa.concat_tables([truth for _, truth in parts])["story"].to_numpy(zero_copy_only=False)
    return Simulation(history, list(profiles_of(simulator.ctx, history)), typologies)
