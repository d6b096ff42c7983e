"""What is wrong between a worker, Redis and the recorder: checked every second, shown by `/readyz` and gauges."""

from __future__ import annotations

import logging
import time

from serving.engine.clustered.engine import RedisEngine
from serving.redis_store.messages import checked
from serving.redis_store.state import NOT_THE_STATE, default_deadline

log = logging.getLogger("riskgate")

#: Of a second's payments, the part that may be decided without state before the worker says that it is not ready.
TOLERATED = 0.05
#: The recorder is late when the oldest event of the stream is older.
RECORDER_LATE_SECONDS = 5.0
BY_AMOUNT = "Payments get the policy's default decision."


class Health:
    """Sentences about the state and the recorder; empty while nothing is wrong."""

    def __init__(self, engine: RedisEngine) -> None:
        self.engine = engine
        #: Age of the oldest event that is not in PostgreSQL yet, seconds.
        self.unrecorded_seconds = 0.0
        self._by_amount = self._said = ""
        self._counted = (0, 0)

    def state(self) -> str:
        """Why payments are decided by amount."""
        state = self.engine.state
        if not state.connection.works:
            return f"Redis does not answer. {BY_AMOUNT} The service reconnects by itself."
        if not state.trusted:
            return f"{NOT_THE_STATE} {BY_AMOUNT} Build it from the ledger: python -m serving rebuild-state."
        return f"{state.refusal} {BY_AMOUNT}" if state.refusal else self._by_amount

    def recorder(self) -> str:
        """That the recorder is late."""
        if self.unrecorded_seconds < RECORDER_LATE_SECONDS:
            return ""
        return (
            f"The oldest event that the recorder has not written is {self.unrecorded_seconds:.0f} s old. See that the "
            "recorder runs and reaches PostgreSQL."
        )

    async def look(self) -> None:
        """Count what was decided without state, write to Redis, and read how far the recorder is.

        Raises: StateUnavailable.
        """
        self._count()
        state = self.engine.state
        try:
            await state.probe()
            self.unrecorded_seconds = await self._oldest_age()
        finally:
            now = self.state()
            if now and now != self._said:
                log.error("%s", now)
            self._said = now

    def _count(self) -> None:
        engine, (decided, misses) = self.engine, self._counted
        self._counted = (engine.decided, engine.misses)
        without = engine.misses - misses
        payments = engine.decided - decided + without
        self._by_amount = ""
        if without > TOLERATED * payments:
            self._by_amount = f"{without} of the last {payments} payments were decided by amount: {engine.trouble}"

    async def _oldest_age(self) -> float:
        state = self.engine.state
        call = state.connection.call(("XRANGE", state.keys.events, "-", "+", "COUNT", "1"), default_deadline())
        found = checked(await call)
        return max(0.0, time.time() - int(found[0][0].partition(b"-")[0]) / 1000) if found else 0.0
