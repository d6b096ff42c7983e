"""What was approved without a score within the running minute: the policy bounds it."""

from __future__ import annotations

MINUTE_MS = 60_000
#: A clock that was set back by more than this starts a new minute; by less, the old minute goes on.
SET_BACK_MINUTES = 5


class Exposure:
    """Sums approvals without a score by minute of arrival, reference minor units.

    >>> exposure = Exposure()
    >>> exposure.add(59_000, 700)
    >>> exposure.spent(59_999), exposure.spent(60_000)
    (700, 0)
    """

    def __init__(self, processes: int = 1) -> None:
        """`processes` decide side by side: each takes the others to do just what it does itself."""
        self._processes = processes
        self._minute = 0
        self._spent_minor = 0

    def spent(self, arrival_ms: int, asked_minor: int = 0) -> int:
        """What was approved so far in the minute of this arrival (milliseconds UTC).

        What the other processes may approve while this one approves `asked_minor` counts as approved.
        """
        self._turn(arrival_ms)
        return self._spent_minor * self._processes + asked_minor * (self._processes - 1)

    def add(self, arrival_ms: int, approved_minor: int) -> None:
        """Take note of an approval."""
        self._turn(arrival_ms)
        self._spent_minor += approved_minor

    def _turn(self, arrival_ms: int) -> None:
        minute = arrival_ms // MINUTE_MS
        # A clock that steps back a little must not open the same minute twice.
        if minute > self._minute or minute < self._minute - SET_BACK_MINUTES:
            self._minute, self._spent_minor = minute, 0
