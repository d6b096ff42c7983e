"""The lists of the embedded profile: events of the SQLite ledger, which other processes may append too."""

from __future__ import annotations

import asyncio
import time

from features.bundle.policy import Policy
from serving.decision.clock import Clock
from serving.ledger.sqlite.ledger import Ledger
from serving.lists.book import ListBook
from serving.lists.changes import ChangeLog, apply, of_bundle
from serving.lists.entry import LIST, Change, encode_change
from serving.lists.values import EntryReader

#: Events of one read while payments are decided: a few hundred kilobytes.
PAGE = 4


class EmbeddedLists:
    """Changes the lists, and follows what the command line writes (a `ListService`); one thread, like the engine."""

    def __init__(self, ledger: Ledger, book: ListBook, reader: EntryReader, clock: Clock) -> None:
        self.book = book
        self.reader = reader
        self._ledger = ledger
        self._clock = clock
        self._written = ChangeLog()

    def now_ms(self) -> int:
        """See `ListService.now_ms`."""
        return self._clock.now_ms()

    async def change(self, change: Change) -> tuple[str, ...]:
        """See `ListService.change`."""
        return self.record(change)

    def record(self, change: Change) -> tuple[str, ...]:
        """The same at once: recorded and applied between two payments.

        Raises: LedgerError.
        """
        times = (self._clock.now_ms(), time.time_ns() // 1_000_000)
        return self.load(self._ledger.append_now(LIST, "", *times, encode_change(change)))

    def load(self, own_seq: int = 0) -> tuple[str, ...]:
        """Apply every event that is not applied yet; what became of the entries of the event `own_seq`.

        Without `own_seq`, which is a start, they are not logged.

        Raises: LedgerError.
        """
        own: tuple[str, ...] = ()
        for event in self._ledger.each_of_kind(LIST, after_seq=self.book.seq, page=50):
            statuses = apply(self.book, event, self._written if own_seq else None)
            if event.seq == own_seq:
                own = statuses
        return own

    async def follow(self) -> None:
        """Apply what other processes appended; payments are decided between any two events.

        Raises: LedgerError.
        """
        for event in self._ledger.each_of_kind(LIST, after_seq=self.book.seq, page=PAGE):
            if event.seq > self.book.seq:  # not applied by `record` meanwhile
                apply(self.book, event, self._written)
            await asyncio.sleep(0)
        self._written.flush()

    def take_over(self, policy: Policy, model: str) -> None:
        """Record the entries of a bundle's own lists that were never taken over.

        Raises: LedgerError.
        """
        for change in of_bundle(policy, model, self.book, self.reader):
            self.record(change)
