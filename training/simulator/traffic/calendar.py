"""The traffic calendar: growth, weekdays, salary days, two peaks a day, and the rush of 11/11.

The peaks 10:00-13:00 and 17:00-21:30 are the peak hours of UPI in the NPCI circular of 21 May 2025.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from training.data.arrays import Floats, Integers
from training.simulator.parameters import DAY_MS, MINUTE_MS, World

MINUTES = 1_440
SALES = {(7, 7): 0.2, (8, 8): 0.25, (9, 9): 0.35, (10, 10): 0.5, (11, 11): 1.0}
"""(month, day) of a sale and its strength; 1 is the festival."""

RUSH_MINUTES, PLATEAU_MINUTES, AFTERGLOW_MINUTES = 5, 65, 180
RUSH, PLATEAU, AFTERGLOW, SALE_DAY = 12.2, 4.6, 1.4, 0.75
"""Multiples of an ordinary day's mean rate, added at strength 1."""

_WEEKDAYS = (0.97, 0.96, 0.97, 0.99, 1.05, 1.06, 1.00)  # Monday first


@dataclass(frozen=True)
class TrafficCalendar:
    """For each day: its payments, the strength of its sale, its weekday (Monday = 0) and the day of the month."""

    payments: Integers
    usual: Floats
    """Payments without the sale's effect: most typologies follow it."""
    sale: Floats
    weekday: Integers
    month_day: Integers
    start_ms: int

    def moments(self, day: int, n: int, rng: np.random.Generator) -> Integers:
        """`n` times of one day, sorted, ms UTC."""
        shape = minute_shape(float(self.sale[day]), bool(self.weekday[day] >= 5))
        edges = np.cumsum(shape) / shape.sum()
        draws = np.sort(rng.random(n))
        minute = np.minimum(np.searchsorted(edges, draws, side="right"), MINUTES - 1)
        inside = np.sort(minute * MINUTE_MS + rng.integers(0, MINUTE_MS, n))
        return np.asarray(self.start_ms + day * DAY_MS + inside, np.int64)


def traffic_calendar(world: World) -> TrafficCalendar:
    """The calendar of a world; its daily payments add up to `world.payments`."""
    dates = world.dates
    weekday = np.array([date.weekday() for date in dates], np.int64)
    month_day = np.array([date.day for date in dates], np.int64)
    sale = np.array([sale_strength(date) if world.festival else 0.0 for date in dates])
    salary = np.where(month_day <= 5, 1.16 - 0.02 * month_day, np.where(month_day >= 30, 1.10, 0.985))
    growth = (1.0 + world.growth_per_year) ** (np.arange(world.days) / 365.0)
    usual = growth * np.array(_WEEKDAYS)[weekday] * salary
    wanted = usual * np.array([minute_shape(float(s), False).sum() / MINUTES for s in sale])
    per_day = _whole_numbers(wanted / wanted.sum() * world.payments, world.payments)
    scale = world.payments / wanted.sum()
    return TrafficCalendar(per_day, usual * scale, sale, weekday, month_day, world.start_ms)


def sale_strength(date: dt.date) -> float:
    """0 on an ordinary day, 1 on 11/11, between for the smaller sales."""
    return SALES.get((date.month, date.day), 0.0)


def minute_shape(sale: float, weekend: bool) -> Floats:
    """Relative rate of each minute of a day, float64[1440]; an ordinary day has the mean 1."""
    hour = np.arange(MINUTES) / 60.0

    def bump(centre: float, width: float) -> Floats:
        distance = np.abs(hour - centre)
        return np.asarray(np.exp(-0.5 * (np.minimum(distance, 24.0 - distance) / width) ** 2))

    shift = 0.6 if weekend else 0.0
    shape = 0.06 + 1.00 * bump(11.7 + shift, 1.7) + 1.20 * bump(19.4 + shift / 2, 2.0) + 0.34 * bump(15.2, 2.0)
    shape += 0.25 * bump(8.6 + shift, 1.1)
    shape *= MINUTES / shape.sum()
    if sale > 0:
        shape = shape * (1.0 + SALE_DAY * sale)
        shape[:RUSH_MINUTES] += RUSH * sale
        shape[RUSH_MINUTES:PLATEAU_MINUTES] += PLATEAU * sale
        shape[PLATEAU_MINUTES:AFTERGLOW_MINUTES] += AFTERGLOW * sale
    return np.asarray(shape, np.float64)


def _whole_numbers(wanted: Floats, total: int) -> Integers:
    """`wanted` rounded to integers that add up to the total (largest remainder method)."""
    low = np.floor(wanted).astype(np.int64)
    missing = total - int(low.sum())
    low[np.argsort(low - wanted, kind="stable")[:missing]] += 1
    return low
