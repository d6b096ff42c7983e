"""The lists of the production profile: events of the stream, which every worker follows through a short copy in Redis.

That copy is a second stream with the `list` events of the last minute, under the ids of the first and each with the id
of the one before it. So a worker asks for what is new with one small call and notices what it missed, which it then
reads in PostgreSQL: nothing leaves the copy before the recorder has written it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

from features.bundle.policy import Policy
from serving.decision.clock import Clock
from serving.ledger.reader import Event, LedgerReader
from serving.lists.book import ListBook
from serving.lists.changes import ChangeLog, apply, of_bundle
from serving.lists.entry import LIST, Change, encode_change
from serving.lists.values import EntryReader
from serving.redis_store.messages import checked, stream_is_full
from serving.redis_store.scripts import LIST_EVENT
from serving.redis_store.state import RedisState, default_deadline
from serving.redis_store.stream_entry import seq_of, stream_id_of

#: Events of one call to Redis, and of one read in PostgreSQL.
FROM_REDIS, FROM_LEDGER = 8, 50
#: Changes whose results are kept for the calls that wait for them.
KEPT_RESULTS = 200


def event_in_copy(stream_id: bytes, fields: Mapping[bytes, bytes]) -> Event:
    """An entry of the copy as an event of the ledger."""
    return Event(seq_of(stream_id), LIST, "", int(fields[b"e"]), int(fields[b"a"]), fields[b"b"])


class SharedLists:
    """Changes lists that many workers share, and follows the changes of the others (a `ListService`)."""

    def __init__(
        self, state: RedisState, ledger: LedgerReader, book: ListBook, reader: EntryReader, clock: Clock
    ) -> None:
        self.book = book
        self.reader = reader
        self._state = state
        self._ledger = ledger
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._results: OrderedDict[int, tuple[str, ...]] = OrderedDict()
        self._written = ChangeLog()

    def now_ms(self) -> int:
        """See `ListService.now_ms`."""
        return self._clock.now_ms()

    async def change(self, change: Change) -> tuple[str, ...]:
        """See `ListService.change`."""
        seq = await self.record(change)
        assert seq is not None  # it asks for no last event
        await self.follow()
        return self._results.get(seq, ())

    async def record(self, change: Change, last: int | None = None) -> int | None:
        """Append a change to the stream; its seq, or None if `last` (None: any) is not the last `list` event.

        Raises: StateUnavailable, LedgerUnavailable.
        """
        keys = self._state.keys
        expected = b"" if last is None else stream_id_of(last)
        times = (str(self._clock.now_ms()), str(time.time_ns() // 1_000_000))
        done, *stream_id = await self._state.run(
            LIST_EVENT,
            (keys.events, keys.lists),
            (self._state.stream_limit, expected, *times, encode_change(change)),
        )
        if done == 2:
            raise stream_is_full()
        return seq_of(stream_id[0]) if done == 1 else None

    async def _new(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """(stream id, fields) of the next events in Redis."""
        after = f"({stream_id_of(self.book.seq)}"
        command = ("XRANGE", self._state.keys.lists, after, "+", "COUNT", str(FROM_REDIS))
        found = checked(await self._state.connection.call(command, default_deadline()))
        return [(one, dict(zip(fields[::2], fields[1::2], strict=True))) for one, fields in found]

    async def load(self) -> None:
        """Apply every event of the ledger, then those that are not recorded yet.

        Raises: StateUnavailable, LedgerUnavailable.
        """
        async with self._one_at_a_time:
            await self._from_ledger(None)
        await self.follow()

    async def follow(self) -> None:
        """Apply what is new; payments are decided between any two events.

        Raises: StateUnavailable, LedgerUnavailable.
        """
        async with self._one_at_a_time:
            while found := await self._new():
                for stream_id, fields in found:
                    # Without one before it the copy is new, and says nothing of what it does not hold.
                    if not fields[b"p"] or seq_of(fields[b"p"]) > self.book.seq:
                        await self._from_ledger(self._written)
                    event = event_in_copy(stream_id, fields)
                    if event.seq > self.book.seq:
                        self._apply(event, self._written)
                    await asyncio.sleep(0)
        self._written.flush()

    async def take_over(self, policy: Policy, model: str) -> None:
        """Record the entries of a bundle's own lists that were never taken over; one of the workers does.

        Raises: StateUnavailable, LedgerUnavailable.
        """
        while (change := next(of_bundle(policy, model, self.book, self.reader), None)) is not None:
            before = self.book.seq
            recorded = await self.record(change, before)  # not if another worker was first
            await self.follow()
            if recorded is None and self.book.seq == before:  # Redis forgot events that the ledger holds
                await self.change(change)

    async def _from_ledger(self, written: ChangeLog | None) -> None:
        events = self._ledger.each_of_kind(LIST, after_seq=self.book.seq, page=FROM_LEDGER)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            self._apply(event, written)

    def _apply(self, event: Event, written: ChangeLog | None) -> None:
        self._results[event.seq] = apply(self.book, event, written)
        if len(self._results) > KEPT_RESULTS:
            self._results.popitem(last=False)
