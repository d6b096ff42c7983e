"""Throttles password guessing per name and per address."""

from __future__ import annotations

import threading
from collections import OrderedDict

from serving.errors import ServiceError

#: Failures within the window before a key must wait until the oldest of them expires.
FAILURES_PER_NAME = 5
FAILURES_PER_ADDRESS = 20
WINDOW_SECONDS = 15 * 60.0
#: Bound of the keys in memory: the oldest is dropped, so a flood of names cannot fill the memory.
MAX_KEYS = 10_000


class TooManyAttempts(ServiceError):
    """Too many failed sign-ins; `retry_after_seconds` says how long to wait."""

    status = 429

    def __init__(self, retry_after_seconds: int) -> None:
        minutes = max(1, -(-retry_after_seconds // 60))
        super().__init__(
            "Too many sign-in attempts have failed.",
            f"Wait {minutes} minute{'s' if minutes > 1 else ''} and try again.",
        )
        self.retry_after_seconds = retry_after_seconds


class Throttle:
    """Counts attempts per (name, address) and per address in a sliding window; times in seconds.

    An attempt counts as failed from its start, so concurrent attempts cannot exceed the limit.
    """

    def __init__(self) -> None:
        self._attempts: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, name: str, address: str, now: float) -> None:
        """Admit an attempt, and count it as failed until `succeeded` is called.

        Raises: TooManyAttempts.
        """
        limits = (((name, address), FAILURES_PER_NAME), ((address,), FAILURES_PER_ADDRESS))
        with self._lock:
            for key, most in limits:
                recent = self._recent(key, now)
                if len(recent) >= most:
                    raise TooManyAttempts(max(1, round(recent[-most] + WINDOW_SECONDS - now)))
            for key, _ in limits:
                self._attempts[key] = [*self._recent(key, now), now]
                self._attempts.move_to_end(key)
            while len(self._attempts) > MAX_KEYS:
                self._attempts.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Clear the failures of that name and address, and remove this attempt from those of the address."""
        with self._lock:
            self._attempts.pop((name, address), None)
            counted = self._attempts.get((address,))
            if counted:
                counted.pop()

    def _recent(self, key: tuple[str, ...], now: float) -> list[float]:
        return [moment for moment in self._attempts.get(key, []) if now - moment < WINDOW_SECONDS]
