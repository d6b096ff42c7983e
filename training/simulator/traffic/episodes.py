"""Episodes: what several payments have in common, and how they are spread over days, steps and setbacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.arrays import Flags, Floats, Integers
from training.simulator.parameters import DAY_MS, HOUR_MS, MINUTE_MS, World
from training.simulator.parties.merchants import Places
from training.simulator.parties.payers import People
from training.simulator.random_streams import stream
from training.simulator.rows import Rows, chosen, nothing
from training.simulator.traffic.calendar import Seasons


@dataclass(frozen=True)
class Cast:
    """Everything that a story may use: the world's parameters, its people, places and calendar."""

    world: World
    people: People
    places: Places
    year: Seasons

    def stream(self, purpose: str, place: int = 0) -> np.random.Generator:
        """The random stream of a purpose."""
        return stream(self.world.seed, purpose, place)

    def inside(self, rows: Rows) -> Rows:
        """The rows that fall into the world's days."""
        time = rows["time"]
        return chosen(rows, (time >= self.world.start_ms) & (time < self.world.end_ms))


@dataclass(frozen=True)
class Episodes:
    """`day` per episode; for each payment its episode and its step (0, 1, ...) in it."""

    day: Integers
    episode: Integers
    step: Integers

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def count(self) -> int:
        """How many episodes there are."""
        return len(self.day)

    def last_steps(self, share: float) -> Flags:
        """The payments of the last `share` of each episode."""
        size = np.bincount(self.episode, minlength=self.count)
        return self.step >= (1.0 - share) * size[self.episode]


def episodes(
    cast: Cast, wanted: float, low: int, high: int, rng: np.random.Generator, first_day: int = 0,
    weights: Floats | None = None,
) -> Episodes:  # fmt: skip
    """About `wanted` payments in episodes of low..high payments, beginning on days by their usual traffic.

    Args:
        cast: the world.
        wanted: payments in all.
        low: fewest payments of an episode.
        high: most.
        rng: the stream of the story.
        first_day: no episode begins before it.
        weights: float64[days], instead of the usual traffic.
    """
    count = max(round(2 * wanted / (low + high)), int(wanted >= 2))
    by_day = (cast.year.usual if weights is None else weights).copy()
    by_day[:first_day] = 0.0
    if count < 1 or by_day.sum() <= 0:
        empty = np.empty(0, np.int64)
        return Episodes(empty, empty, empty)
    edges = np.cumsum(by_day) / by_day.sum()
    # evenly spread, so that a story is told in every part of its time
    draws = (np.arange(count) + rng.random(count)) / count
    day = np.minimum(np.searchsorted(edges, draws, side="right"), len(edges) - 1).astype(np.int64)
    size = rng.integers(low, high + 1, count)
    episode = np.repeat(np.arange(count), size)
    step = np.arange(len(episode)) - np.repeat(np.cumsum(size) - size, size)
    return Episodes(day, episode, step)


def moment(cast: Cast, day: Integers, hour: Floats) -> Integers:
    """ms UTC of a local hour (it may pass midnight) of days of the world."""
    return np.asarray(cast.world.start_ms + day * DAY_MS + (hour * HOUR_MS).astype(np.int64), np.int64)


def usual_hours(n: int, rng: np.random.Generator) -> Floats:
    """Hours at which people are awake and pay."""
    return np.where(rng.random(n) < 0.45, rng.normal(12.3, 2.0, n), rng.normal(19.3, 2.2, n)) % 24.0


def minutes_apart(told: Episodes, low: float, high: float, rng: np.random.Generator) -> Integers:
    """Time since the beginning of the episode, ms, when payments follow each other after low..high minutes."""
    gaps = (rng.uniform(low, high, len(told)) * MINUTE_MS).astype(np.int64)
    gaps[told.step == 0] = 0
    total = np.cumsum(gaps)
    return np.asarray(total - total[np.arange(len(told)) - told.step], np.int64)


def setbacks(told: Episodes, refused: Flags) -> Integers:
    """How many payments of the same episode were declined before each one."""
    earlier: Integers = np.cumsum(refused) - refused
    return np.asarray(earlier - earlier[np.arange(len(told)) - told.step], np.int64)


def whole_rupees(paise: Floats, rng: np.random.Generator, round_share: float = 0.35) -> Integers:
    """Paise as people type them: whole rupees, some of them round."""
    step = np.where(rng.random(len(paise)) < round_share, 10_000, 100)
    return np.maximum(np.round(paise / step) * step, 100).astype(np.int64)


def none_of_it() -> Rows:
    """No payment."""
    return nothing()
