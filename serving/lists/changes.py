"""How lists change: the calls that both profiles offer, and what they share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from features.bundle.policy import Policy
from features.intake.card_numbers import mask_card_numbers
from serving.decision.rules import ALLOW, BLOCK
from serving.ledger.reader import Event
from serving.lists.book import ListBook
from serving.lists.entry import ADD, BUNDLE, Change, NewEntry, changes
from serving.lists.values import EntryReader, Unfit

log = logging.getLogger("riskgate.lists")

#: Lines about changes that are written as they come, in so many seconds.
MOST_LINES, WINDOW_SECONDS = 20, 10.0


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


class _Head(msgspec.Struct):
    """What the log says of a change; its entries are not decoded a second time."""

    list: str
    action: str
    author: str


class ChangeLog:
    """One INFO line for each change that a running worker applies; an import of many changes becomes a few lines.

    Of `MOST_LINES` in `WINDOW_SECONDS` the first are written as they come, and what follows as sums when these seconds
    are over.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began, self._lines = clock(), 0
        #: (list, action, author) -> changes and entries that are not written yet.
        self._kept: dict[tuple[str, str, str], tuple[int, int]] = {}

    def note(self, event: Event, statuses: tuple[str, ...]) -> None:
        """Log an event that was applied; one that could not be read has no statuses."""
        if not statuses:
            return
        self.flush()
        head = msgspec.json.decode(event.body, type=_Head)
        key = (head.list, head.action, mask_card_numbers(head.author))
        count = len(statuses) - statuses.count("absent")
        if self._lines < MOST_LINES:
            self._lines += 1
            _write(key, 1, count)
        else:
            changes, entries = self._kept.get(key, (0, 0))
            self._kept[key] = changes + 1, entries + count

    def flush(self) -> None:
        """Write the sums if their time has come; called whenever a worker looks for changes."""
        if self._clock() - self._began >= WINDOW_SECONDS:
            for key, (changes, entries) in self._kept.items():
                _write(key, changes, entries)
            self._began, self._lines, self._kept = self._clock(), 0, {}


def _write(key: tuple[str, str, str], changes: int, entries: int) -> None:
    name, action, author = key
    what = "1 entry" if entries == 1 else f"{entries:,} entries"
    often = "" if changes == 1 else f" in {changes:,} changes"
    log.info(
        "%s list: %s %s by %s%s",
        name,
        what,
        "added" if action == ADD else "removed",
        author or "a caller without a key",
        often,
    )


def apply(book: ListBook, event: Event, written: ChangeLog | None = None) -> tuple[str, ...]:
    """Apply an event and log it; one that cannot be read changes nothing, as in every fold."""
    try:
        statuses = book.take(event)
    except (msgspec.DecodeError, ValueError):
        log.error("event %d cannot be read: it changes no list", event.seq)
        book.seq = event.seq
        return ()
    if written is not None:
        written.note(event, statuses)
    return statuses


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
