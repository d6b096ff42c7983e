"""Reports that wait: one list per transaction, in the slot of its idempotency record, and an index of all."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from serving.redis_store.messages import EventHeader, checked
from serving.redis_store.scripts import EXCHANGE, script
from serving.redis_store.state import RedisState, default_deadline

#: Names in one `ZRANGE` of the index.
PAGE = 200


class Waits(IntEnum):
    """What became of a report that should wait; the replies of the script."""

    CHANGED = 0
    RECORDED = 1
    STREAM_FULL = 2
    PAYMENT_KNOWN = 3
    TOO_MANY = 4


#: KEYS: idempotency record, waiting reports, stream, index. ARGV: the reports that must still wait (empty: none), the
#: new ones, seconds to keep them, stream limit, most transactions in the index, transaction id, event time, arrival
#: time, body. Replies a value of `Waits`: a payment that was admitted meanwhile takes the report itself.
WAIT = script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return 3 end
local known = redis.call('GET', KEYS[2]) or ''
if known ~= ARGV[1] then return 0 end
if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[4]) then return 2 end
if known == '' and redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[5]) then return 4 end
redis.call('XADD', KEYS[3], '*', 'k', 'waiting', 't', ARGV[6], 'e', ARGV[7], 'a', ARGV[8], 'b', ARGV[9])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('ZADD', KEYS[4], 'NX', ARGV[8], ARGV[6])
return 1
""")

#: KEYS: waiting reports. ARGV: what they must be. Replies whether they are deleted.
FORGET = script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")


class RedisWaiting:
    """The waiting reports behind one prefix, as JSON that the caller writes and reads; empty for none.

    Every call raises StateUnavailable.
    """

    def __init__(self, state: RedisState, *, keep_seconds: int, most: int) -> None:
        self.state = state
        self._keep = str(keep_seconds)
        self._most = most
        self._index = state.keys.waiting_index

    async def about(self, transaction_id: str) -> bytes:
        """The reports that wait for a payment."""
        return await self.state.get(self.state.keys.waiting(transaction_id)) or b""

    async def add(self, header: EventHeader, body: bytes, former: bytes, reports: bytes) -> Waits:
        """Replace the waiting reports of a transaction, and record the event of the new one."""
        state, keys, name = self.state, self.state.keys, header.transaction_id
        arrival = str(header.arrival_time_ms)
        if state.one_trip:
            reply = await state.run(
                WAIT, (keys.transaction(name), keys.waiting(name), keys.events, self._index),
                (
                    former, reports, self._keep, state.stream_limit, str(self._most), name, str(header.event_time_ms),
                    arrival, body,
                ),
            )  # fmt: skip
            return Waits(reply)
        # In a cluster one after the other. The event comes first: one that was recorded twice waits once.
        if await state.get(keys.transaction(name)) is not None:
            return Waits.PAYMENT_KNOWN
        if await self._call("XLEN", keys.events) >= int(state.stream_limit):
            return Waits.STREAM_FULL
        if not former and await self.count() >= self._most:
            return Waits.TOO_MANY
        await state.append(header, body)
        if await state.run(EXCHANGE, (keys.waiting(name),), (former, reports, self._keep)) is not None:
            return Waits.CHANGED
        await self._call("ZADD", self._index, "NX", arrival, name)
        return Waits.RECORDED

    async def forget(self, transaction_id: str, reports: bytes) -> None:
        """Delete the waiting reports of a transaction unless more came."""
        if await self.state.run(FORGET, (self.state.keys.waiting(transaction_id),), (reports,)):
            await self._call("ZREM", self._index, transaction_id)

    async def forget_older(self, arrival_ms: int) -> None:
        """Delete from the index what came before a time, ms UTC; its reports expire by themselves."""
        await self._call("ZREMRANGEBYSCORE", self._index, "-inf", f"({arrival_ms}")

    async def count(self) -> int:
        """How many transactions have reports that wait."""
        return int(await self._call("ZCARD", self._index))

    async def names(self, start: int) -> list[str]:
        """The transactions from a place in the index on, oldest first, `PAGE` at most."""
        found = await self._call("ZRANGE", self._index, str(start), str(start + PAGE - 1))
        return [name.decode() for name in found]

    async def _call(self, *words: Any) -> Any:
        return checked(await self.state.connection.call(words, default_deadline()))
