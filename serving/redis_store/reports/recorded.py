"""The recent reports about a payment: compared, folded and recorded in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serving.redis_store.messages import EventHeader, StringAppend, checked
from serving.redis_store.scripts import APPEND_IF_THERE, EXCHANGE, REPORT
from serving.redis_store.state import RedisState, default_deadline


class RedisReports:
    """The recorded reports behind one prefix, as JSON that the caller writes and reads; empty for none."""

    def __init__(self, state: RedisState) -> None:
        self.state = state

    async def about(self, transaction_id: str) -> bytes:
        """The recent reports about a payment.

        Raises: StateUnavailable.
        """
        return await self.state.get(self.state.keys.reports(transaction_id)) or b""

    async def record(
        self, header: EventHeader, body: bytes, former: bytes, reports: bytes, foldings: Sequence[StringAppend]
    ) -> bool | None:
        """Replace the reports of a payment, append what they change to its entities and record the event.

        Returns False when the stored reports were no longer `former`, None when the stream is full.
        Raises: StateUnavailable.
        """
        state = self.state
        if not state.trusted:
            raise state.distrust()
        if not state.one_trip:
            return await self._record_in_steps(header, body, former, reports, foldings)
        keys = [state.keys.entity(one.kind, one.key) for one in foldings]
        reply = await state.run(
            REPORT, (state.keys.reports(header.transaction_id), state.keys.events, state.keys.contract, *keys),
            (
                former, reports, state.keep_seconds, state.stream_limit, header.kind, header.transaction_id,
                str(header.event_time_ms), str(header.arrival_time_ms), body, state.contract,
                *[one.event for one in foldings],
            ),
        )  # fmt: skip
        if reply[0] == 3:
            raise state.distrust()
        return None if reply[0] == 2 else bool(reply[0])

    async def _record_in_steps(
        self, header: EventHeader, body: bytes, former: bytes, reports: bytes, foldings: Sequence[StringAppend]
    ) -> bool | None:
        """The same in a cluster, where a script sees one slot."""
        state = self.state
        waiting = await state.connection.call(("XLEN", state.keys.events), default_deadline())
        if checked(waiting) >= int(state.stream_limit):
            return None
        name = state.keys.reports(header.transaction_id)
        if await state.run(EXCHANGE, (name,), (former, reports, state.keep_seconds)) is not None:
            return False
        await asyncio.gather(
            *[state.run(APPEND_IF_THERE, (state.keys.entity(one.kind, one.key),), (one.event,)) for one in foldings]
        )
        await state.append(header, body)
        return True
