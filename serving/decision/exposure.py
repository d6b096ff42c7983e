"""The sum of approvals without a score within the current minute, which the policy limits."""

from __future__ import annotations

MINUTE_MS = 60_000
#: A clock set back by more than this starts a new minute; by less, the current minute continues.
SET_BACK_MINUTES = 5


class Exposure:
    """Sums approvals without a score by minute of arrival, reference minor units; of one process that decides alone.

    >>> exposure = Exposure()
    >>> exposure.add(59_000, 700)
    >>> exposure.spent(59_999), exposure.spent(60_000)
    (700, 0)
    """

    def __init__(self) -> None:
        self.minute = 0
        #: What this process approved in the minute, and the policy's bound (None: no bound).
        self.own_minor = 0
        self.most_minor: int | None = None

    def limit(self, most_minor: int | None) -> None:
        """Set the policy's bound per minute, reference minor units; None: no bound."""
        self.most_minor = most_minor

    def spent(self, arrival_ms: int, asked_minor: int = 0) -> int:
        """The amount that counts as approved in the minute of this arrival (milliseconds UTC).

        `asked_minor` is the payment that is about to be decided.
        """
        self._advance(arrival_ms)
        return self.own_minor

    def approved(self, now_ms: int) -> int:
        """The amount that this process approved in the minute of `now_ms`."""
        self._advance(now_ms)
        return self.own_minor

    def add(self, arrival_ms: int, approved_minor: int) -> None:
        """Add an approval."""
        self._advance(arrival_ms)
        self.own_minor += approved_minor

    def _advance(self, arrival_ms: int) -> None:
        minute = arrival_ms // MINUTE_MS
        # A clock that steps back a little must not start the same minute twice.
        if minute > self.minute or minute < self.minute - SET_BACK_MINUTES:
            self.minute, self.own_minor = minute, 0
            self._begin_minute()

    def _begin_minute(self) -> None:
        """For processes that share the bound."""
