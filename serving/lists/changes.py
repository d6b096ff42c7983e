"""How lists change: the calls that both profiles offer, and what they share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Protocol

import msgspec

from features.bundle.policy import Policy
from serving.decision.rules import ALLOW, BLOCK
from serving.ledger.reader import Event
from serving.lists.book import ListBook
from serving.lists.entry import ADD, BUNDLE, Change, NewEntry, changes
from serving.lists.values import EntryReader, Unfit

log = logging.getLogger("riskgate.lists")


class ListService(Protocol):
    """The lists of a running service: serving/lists/embedded.py and serving/lists/shared.py."""

    book: ListBook
    reader: EntryReader

    def now_ms(self) -> int:
        """The present of the service's clock, ms UTC."""

    async def change(self, change: Change) -> tuple[str, ...]:
        """Record a change and apply it, with every change before it.

        Gives what became of each entry: `added`, `replaced`, `removed` or `absent`.
        Raises: LedgerError, LedgerUnavailable; then it may or may not be recorded: the same again does no harm.
        """


def apply(book: ListBook, event: Event) -> tuple[str, ...]:
    """Apply an event; one that cannot be read changes nothing, as in every fold."""
    try:
        return book.take(event)
    except (msgspec.DecodeError, ValueError):
        log.error("event %d cannot be read: it changes no list", event.seq)
        book.seq = event.seq
        return ()


def of_bundle(policy: Policy, model: str, book: ListBook, reader: EntryReader) -> Iterator[Change]:
    """The entries of a bundle's own lists that were never taken over, as changes by the author `bundle`.

    An entry that was removed since does not come back with the next bundle.
    """
    for name, lists in ((BLOCK, policy.block), (ALLOW, policy.allow)):
        found = [
            NewEntry(kind, value, f"Taken over from the bundle {model}.")
            for kind, values in lists.items()
            for value in dict.fromkeys(_stored(reader, kind, one) for one in values)
            if (name, kind, value) not in book.taken_over
        ]
        yield from changes(name, ADD, BUNDLE, found)


def _stored(reader: EntryReader, kind: str, value: str) -> str:
    try:
        return reader.value(kind, value)
    except Unfit:
        return value  # it matched as it stands until now
