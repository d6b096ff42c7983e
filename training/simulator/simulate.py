"""Living through a world day by day: each day can be made alone and is the same to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.state.profiles import ProfileRow
from training.data.arrays import Integers
from training.simulator.parameters import DAY_MS, World
from training.simulator.parties.merchants import places
from training.simulator.parties.payers import people
from training.simulator.profiles import profiles_of
from training.simulator.rows import Rows, by_time, chosen, joined
from training.simulator.tables import tables
from training.simulator.traffic.calendar import seasons
from training.simulator.traffic.episodes import Cast
from training.simulator.traffic.hard_negatives import occasions
from training.simulator.traffic.honest import honest_day
from training.simulator.typologies.registry import STORIES


@dataclass(frozen=True)
class Simulation:
    """A small world in memory: history in HISTORY_SCHEMA, profiles, and the story behind each row (None: honest)."""

    history: pa.Table
    profiles: list[tuple[str, ProfileRow]]
    stories: npt.NDArray[np.object_]


class Play:
    """A world whose people, places, stories and occasions are set; what is left is to live its days."""

    def __init__(self, world: World) -> None:
        """Raises: InvalidDeclaration with every parameter that cannot be."""
        world.check()
        self.world = world
        self.cast = Cast(world, people(world), places(world), seasons(world))
        parts = [STORIES[name](self.cast) for name in STORIES if name in world.stories]
        self.episodes = by_time(joined([*parts, occasions(self.cast)]))
        starts = world.start_ms + DAY_MS * np.arange(world.days + 1)
        self._edges: Integers = np.searchsorted(self.episodes["time"], starts).astype(np.int64)

    def expected(self, day: int) -> int:
        """How many payments a day has."""
        return max(int(self.cast.year.payments[day]), int(self._edges[day + 1] - self._edges[day]))

    def rows(self, day: int) -> Rows:
        """The payments of one day as numbers, in order of time."""
        of_the_day = chosen(self.episodes, np.arange(self._edges[day], self._edges[day + 1]))
        cast, others = self.cast, len(of_the_day["time"])
        honest = honest_day(cast.people, cast.places, cast.year, day, max(self.expected(day) - others, 0))
        rows = by_time(joined([honest, of_the_day]))
        # nobody pays the own account
        first, count = cast.places.first_person, cast.people.count
        to_self = rows["payee"] == rows["payer"] + first
        rows["payee"] = np.where(to_self, first + (rows["payer"] + 1) % count, rows["payee"])
        return rows

    def tables(self, day: int) -> tuple[pa.Table, pa.Table]:
        """(history, truth) of one day."""
        return tables(self.world, self.cast.places, self.rows(day), day, self.cast.stream("afterwards", day))

    def days(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """(history, truth) of each day."""
        return (self.tables(day) for day in range(self.world.days))


def simulate(world: World) -> Simulation:
    """Live through a small world in memory; large ones are written day by day (training/simulator/storage.py).

    Raises:
        InvalidDeclaration: parameters that cannot be, all problems together.
    """
    play = Play(world)
    parts = list(play.days())
    history = pa.concat_tables([history for history, _ in parts])
    stories = pa.concat_tables([truth for _, truth in parts])["story"].to_numpy(zero_copy_only=False)
    return Simulation(history, list(profiles_of(play.cast, history)), stories)
