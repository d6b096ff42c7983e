"""The exposure of a minute, shared by all scoring processes."""

from __future__ import annotations

from collections.abc import Iterable

from serving.decision.exposure import Exposure
from serving.shared_bounds.bounds import Ask, Bounds

#: A process asks for more of the minute's bound once it used this part of its share.
PRESSED = 0.5
KEEP_SECONDS = 120


class SharedExposure(Exposure):
    """Sums this process's approvals without a score; what the others may approve counts as spent.

    >>> one_of_two = SharedExposure(Bounds(fraction=0.5))
    >>> one_of_two.limit(1_000)
    >>> one_of_two.spent(59_000, 400), one_of_two.add(59_000, 400), one_of_two.spent(59_000, 100)
    (500, None, 900)
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self._bounds = bounds
        self._pressed = False
        self._name = ""

    def spent(self, arrival_ms: int, asked_minor: int = 0) -> int:
        """The amount that counts as approved in the minute of this arrival, all processes together."""
        own = super().spent(arrival_ms)
        if self.most_minor is None:
            return own
        share = int(self._bounds.share_of(self._name, self.most_minor))
        if own + asked_minor > PRESSED * share:
            self._pressed = True
        return own + max(0, self.most_minor - share)

    def asks(self) -> Iterable[Ask]:
        """The bound of this minute."""
        if self.most_minor is not None:
            wanted = self.most_minor if self._pressed else self.own_minor
            yield Ask(self._name, self.most_minor, self.own_minor, wanted, KEEP_SECONDS)

    def limit(self, most_minor: int | None) -> None:
        """Set the policy's bound per minute, reference minor units; None: no bound."""
        super().limit(most_minor)
        self._begin_minute()

    def _begin_minute(self) -> None:
        self._pressed = False
        self._name = f"exposure:{self.minute}:{self.most_minor}"
