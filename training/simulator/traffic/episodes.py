"""Episodes: groups of payments that belong together, and their spread over days and steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.arrays import Flags, Floats, Integers
from training.simulator.parameters import DAY_MS, HOUR_MS, MINUTE_MS, World
from training.simulator.parties.merchants import Payees
from training.simulator.parties.payers import Payers
from training.simulator.random_streams import stream
from training.simulator.rows import Rows, select_rows
from training.simulator.traffic.calendar import TrafficCalendar


@dataclass(frozen=True)
class WorldContext:
    """What typologies draw from: the world's parameters, payers, payees and calendar."""

    world: World
    payers: Payers
    payees: Payees
    calendar: TrafficCalendar

    def stream(self, purpose: str, place: int = 0) -> np.random.Generator:
        """The random stream of a purpose."""
        return stream(self.world.seed, purpose, place)

    def inside(self, rows: Rows) -> Rows:
        """The rows within the world's days."""
        time = rows["time"]
        return select_rows(rows, (time >= self.world.start_ms) & (time < self.world.end_ms))


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
        """The number of episodes."""
        return len(self.day)

    def last_steps(self, share: float) -> Flags:
        """Marks the payments in the last `share` of each episode."""
        size = np.bincount(self.episode, minlength=self.count)
        return self.step >= (1.0 - share) * size[self.episode]


def draw_episodes(
    ctx: WorldContext, wanted: float, low: int, high: int, rng: np.random.Generator, first_day: int = 0,
    weights: Floats | None = None,
) -> Episodes:  # fmt: skip
    """Draw about `wanted` payments in episodes of low..high payments; days are weighted by their usual traffic.

    Args:
        ctx: the world.
        wanted: payments in all.
        low: fewest payments of an episode.
        high: most.
        rng: the stream of the typology.
        first_day: no episode begins before it.
        weights: float64[days], instead of the usual traffic.
    """
    count = max(round(2 * wanted / (low + high)), int(wanted >= 2))
    by_day = (ctx.calendar.usual if weights is None else weights).copy()
    by_day[:first_day] = 0.0
    if count < 1 or by_day.sum() <= 0:
        empty = np.empty(0, np.int64)
        return Episodes(empty, empty, empty)
    edges = np.cumsum(by_day) / by_day.sum()
    # stratified, so that a typology occurs throughout its period
    draws = (np.arange(count) + rng.random(count)) / count
    day = np.minimum(np.searchsorted(edges, draws, side="right"), len(edges) - 1).astype(np.int64)
    size = rng.integers(low, high + 1, count)
    episode = np.repeat(np.arange(count), size)
    step = np.arange(len(episode)) - np.repeat(np.cumsum(size) - size, size)
    return Episodes(day, episode, step)


def moment(ctx: WorldContext, day: Integers, hour: Floats) -> Integers:
    """ms UTC of a local hour (24 and more: the next day) of days of the world."""
    return np.asarray(ctx.world.start_ms + day * DAY_MS + (hour * HOUR_MS).astype(np.int64), np.int64)


def usual_hours(n: int, rng: np.random.Generator) -> Floats:
    """Local hours of ordinary payments."""
    return np.where(rng.random(n) < 0.45, rng.normal(12.3, 2.0, n), rng.normal(19.3, 2.2, n)) % 24.0


def minutes_apart(drawn: Episodes, low: float, high: float, rng: np.random.Generator) -> Integers:
    """Time since the start of the episode, ms, for payments that are low..high minutes apart."""
    gaps = (rng.uniform(low, high, len(drawn)) * MINUTE_MS).astype(np.int64)
    gaps[drawn.step == 0] = 0
    total = np.cumsum(gaps)
    return np.asarray(total - total[np.arange(len(drawn)) - drawn.step], np.int64)


def earlier_declines(ctx: WorldContext, drawn: Episodes, refused: Flags) -> Integers:
    """The earlier declines in the episode of each payment that the fraudsters react to: none in a world without."""
    if not ctx.world.adapts:
        return np.zeros(len(drawn), np.int64)
    earlier: Integers = np.cumsum(refused) - refused
    return np.asarray(earlier - earlier[np.arange(len(drawn)) - drawn.step], np.int64)


def whole_rupees(paise: Floats, rng: np.random.Generator, round_share: float = 0.35) -> Integers:
    """Paise as people type them: whole rupees, some of them round."""
    step = np.where(rng.random(len(paise)) < round_share, 10_000, 100)
    return np.maximum(np.round(paise / step) * step, 100).astype(np.int64)
