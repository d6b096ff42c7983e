"""The decisions of the last seconds: what Redis took and PostgreSQL may not have, should Redis lose it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from serving.engine.clustered.outbox.journal import PendingDecision

#: The recorder is a tenth of a second behind; an append-only file that is synced each second loses two seconds.
KEEP_NS = 5_000_000_000


class RecentDecisions:
    """Keeps what was recorded for `KEEP_NS`, in memory."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._kept: deque[tuple[int, PendingDecision]] = deque()

    def add(self, one: PendingDecision) -> None:
        """Keep one decision that Redis took, and forget old ones."""
        kept, now_ns = self._kept, self._now_ns()
        kept.append((now_ns, one))
        while kept[0][0] < now_ns - KEEP_NS:
            kept.popleft()

    def take(self) -> list[PendingDecision]:
        """What was kept, in order, as decisions to record again; recording what Redis still has changes nothing."""
        found = [msgspec.structs.replace(one, payment_id=b"") for _, one in self._kept]
        self._kept.clear()
        return found
