"""The clock of the service: system time, or the event time of replayed payments."""

from __future__ import annotations

import time
from typing import Protocol

from features.domain.payment import LATE_MS

#: Largest distance of a payment's event time from the system clock (docs/design.md §3).
WINDOW_MS = 5 * 60 * 1000


class Clock(Protocol):
    """The present, milliseconds UTC, and the range of acceptable event times."""

    name: str

    def now_ms(self) -> int:
        """The present, milliseconds UTC."""

    def accepts(self, event_time_ms: int, *, late: bool = False) -> bool:
        """Whether an event of that time may be scored now; one that is sent `late` may be up to seven days old."""

    def advance(self, event_time_ms: int) -> None:
        """Register the time of an accepted event."""


class SystemClock:
    """Wall time; event times must lie within `WINDOW_MS` of it."""

    name = "system"

    def now_ms(self) -> int:
        """The present, milliseconds UTC."""
        return time.time_ns() // 1_000_000

    def accepts(self, event_time_ms: int, *, late: bool = False) -> bool:
        """Whether the event time is within five minutes of the present; `late`: or up to seven days before it."""
        ahead = event_time_ms - self.now_ms()
        return -(LATE_MS if late else WINDOW_MS) <= ahead <= WINDOW_MS

    def advance(self, event_time_ms: int) -> None:
        """Nothing: wall time advances by itself."""


class ReplayClock:
    """The latest event time seen is the present. For demo, backfill and benchmark."""

    name = "replay"

    def __init__(self) -> None:
        self._now_ms = 0

    def now_ms(self) -> int:
        """The latest event time seen, milliseconds UTC; the wall time before the first event."""
        return self._now_ms or SystemClock().now_ms()

    def accepts(self, event_time_ms: int, *, late: bool = False) -> bool:
        """Always: the payment itself sets the clock."""
        return True

    def advance(self, event_time_ms: int) -> None:
        """Move the present forward, never back."""
        if event_time_ms > self._now_ms:
            self._now_ms = event_time_ms


def clock_named(name: str) -> Clock:
    """The clock of a setting (`system` or `replay`)."""
    return ReplayClock() if name == "replay" else SystemClock()
