"""The expected traffic of each hour: a declared calendar, so that a sale's rush does not look like fraud velocity.

Overall traffic is declared, not counted: a counter that every payment updates would be a hot key that all workers
contend for. The platform knows its hours and sales in advance, and a declared rate can be replayed at any time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.catalogue.aggregate import DAY, HOUR, MINUTE

HOURS = 24
ORDINARY = 1.0


class Calendar:
    """The expected rate of each local hour relative to the mean of an ordinary day.

    >>> Calendar((), (("11-11", 2.5),)).rate_at(1_794_355_200_000, 330.0)  # 2026-11-11 05:30 in India
    2.5
    >>> Calendar((), ()).rate_at(0, 0.0)
    1.0
    """

    def __init__(self, hour_rates: tuple[float, ...], busy_days: tuple[tuple[str, float], ...]) -> None:
        self._hours = np.array(hour_rates or (ORDINARY,) * HOURS, np.float64)
        self._rates: list[float] = self._hours.tolist()
        self._busy = dict(busy_days)
        self._factors: dict[int, float] = {}  # local day number to its factor, filled on first use
        self._plain = not hour_rates and not busy_days

    def rate_at(self, ts: int, utc_offset_minutes: float) -> float:
        """The expected rate at a time (ms UTC) for a place that is `utc_offset_minutes` ahead of UTC."""
        if self._plain:
            return ORDINARY
        local = ts + int(utc_offset_minutes) * MINUTE
        return self._rates[local % DAY // HOUR] * self._factor(local // DAY)

    def rates_at(
        self, ts: npt.NDArray[np.int64], utc_offset_minutes: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """`rate_at` for many payments, bit for bit."""
        local = ts + utc_offset_minutes.astype(np.int64) * MINUTE
        days, place = np.unique(local // DAY, return_inverse=True)
        factors = np.array([self._factor(day) for day in days.tolist()], np.float64)
        return np.asarray(self._hours[local % DAY // HOUR] * factors[place.reshape(-1)], np.float64)

    def _factor(self, day: int) -> float:
        if day not in self._factors:
            date = str(np.datetime64(day, "D"))
            self._factors[day] = self._busy.get(date[5:], ORDINARY)
        return self._factors[day]


def calendar_problems(hour_rates: tuple[float, ...], busy_days: tuple[tuple[str, float], ...]) -> list[str]:
    """Every contradiction in a declared calendar, each with its repair."""
    found = []
    if hour_rates and (len(hour_rates) != HOURS or min(hour_rates) <= 0):
        found.append("hour_rates: give 24 rates above 0, one per local hour, or none.")
    for day, factor in busy_days:
        if not _is_day(day):
            found.append(f"busy_days names {day!r}: write month and day as 11-11.")
        if factor <= 0:
            found.append(f"busy_days.{day} is {factor}: give a factor above 0 (2.5: two and a half ordinary days).")
    return found


def _is_day(text: str) -> bool:
    try:
        np.datetime64(f"2024-{text}", "D")  # a leap year
    except ValueError:
        return False
    return len(text) == 5
