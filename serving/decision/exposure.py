"""The sum of approvals without a score within the current minute, which the policy limits."""

from __future__ import annotations

MINUTE_MS = 60_000
#: A clock set back by more than this starts a new minute; by less, the current minute continues.
SET_BACK_MINUTES = 5


class Exposure:
    """Sums approvals without a score by minute of arrival, reference minor units.

    >>> exposure = Exposure()
    >>> exposure.add(59_000, 700)
    >>> exposure.spent(59_999), exposure.spent(60_000)
    (700, 0)
    """

    def __init__(self, processes: int = 1) -> None:
        """`processes` decide in parallel: each assumes that the others approve as much as itself."""
        self._processes = processes
        self._minute = 0
        self._spent_minor = 0

    def spent(self, arrival_ms: int, asked_minor: int = 0) -> int:
        """The amount approved so far in the minute of this arrival (milliseconds UTC).

        Includes what the other processes may approve while this one approves `asked_minor`.
        """
        self._advance(arrival_ms)
        return self._spent_minor * self._processes + asked_minor * (self._processes - 1)

    def add(self, arrival_ms: int, approved_minor: int) -> None:
        """Add an approval."""
        self._advance(arrival_ms)
        self._spent_minor += approved_minor

    def _advance(self, arrival_ms: int) -> None:
        minute = arrival_ms // MINUTE_MS
        # A clock that steps back a little must not start the same minute twice.
        if minute > self._minute or minute < self._minute - SET_BACK_MINUTES:
            self._minute, self._spent_minor = minute, 0
