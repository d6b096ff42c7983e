"""The entries of lists, and the `list` events of the ledger that add and remove them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sys import intern
from typing import NamedTuple

import msgspec

from serving.decision.rules import LISTS
from serving.ledger.reader import Event

#: The kind of the ledger's events.
LIST = "list"
#: What an entry may name: kind -> the fields of a payment that are compared with it, in the order of precedence.
FIELDS: dict[str, tuple[str, ...]] = {
    "payer": ("payer_id",),
    "instrument": ("instrument_id",),
    "device": ("device_id",),
    "ip": ("ip",),
    "payee": ("payee_id",),
    "country": ("payer_country", "payee_country"),
    "mcc": ("mcc",),
}
KINDS = tuple(FIELDS)
#: The author of entries that were taken over from a bundle.
BUNDLE = "bundle"
#: Entries of one event, which is applied between two payments: about a millisecond.
MOST_IN_EVENT = 500
ADD, REMOVE = "add", "remove"


class NewEntry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One entry as its event holds it: value in stored form, `expires_at_ms` ms UTC (None: never)."""

    kind: str
    value: str
    reason: str = ""
    expires_at_ms: int | None = None


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a `list` event: entries that one person added to one list, or removed from it.

    The time of the event is when that was done. `reason` is why entries were removed; added ones have their own.
    """

    list: str
    action: str
    author: str
    entries: tuple[NewEntry, ...]
    reason: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry in force, with the event that added it and its place in there; times are ms UTC."""

    list: str
    kind: str
    value: str
    reason: str
    author: str
    created_at_ms: int
    expires_at_ms: int | None
    seq: int
    place: int

    def holds_at(self, at_ms: int) -> bool:
        """Whether the entry has not expired at that moment."""
        return self.expires_at_ms is None or at_ms < self.expires_at_ms


class Position(NamedTuple):
    """A place in a list, for paging: the event that added an entry, and the entry's place in it."""

    seq: int
    place: int

    def text(self) -> str:
        """The cursor of a page."""
        return f"{self.seq}-{self.place}"


BEGIN = Position(0, -1)

_decode = msgspec.json.Decoder(Change).decode
_encode = msgspec.json.Encoder().encode


def decode_change(body: bytes) -> Change:
    """The body of a `list` event.

    Raises: msgspec.DecodeError; ValueError for a word that this release does not know.
    """
    change = _decode(body)
    if change.list not in LISTS or change.action not in (ADD, REMOVE):
        raise ValueError("an unknown list or action")
    for entry in change.entries:
        if entry.kind not in FIELDS:
            raise ValueError("an unknown kind of entry")
    return change


def encode_change(change: Change) -> bytes:
    """The body of a `list` event."""
    return _encode(change)


def entries_of(event: Event, change: Change) -> list[Entry]:
    """The entries that an event adds."""
    # Texts and numbers that recur are kept once: of a million entries that saves a hundred megabytes.
    name, author, at_ms, seq = intern(change.list), intern(change.author), event.event_time_ms, event.seq
    ends: dict[int | None, int | None] = {}
    return [
        Entry(
            name,
            intern(one.kind),
            one.value,
            intern(one.reason),
            author,
            at_ms,
            ends.setdefault(one.expires_at_ms, one.expires_at_ms),
            seq,
            place,
        )
        for place, one in enumerate(change.entries)
    ]


def changes(name: str, action: str, author: str, entries: Sequence[NewEntry], reason: str = "") -> Iterable[Change]:
    """The entries as bodies of events, each of at most `MOST_IN_EVENT`."""
    for first in range(0, len(entries), MOST_IN_EVENT):
        yield Change(name, action, author, tuple(entries[first : first + MOST_IN_EVENT]), reason)


def position_named(text: str) -> Position | None:
    """The position that a cursor names; None if it is no cursor.

    >>> position_named("41-7"), position_named("41")
    (Position(seq=41, place=7), None)
    """
    seq, dash, place = text.partition("-")
    numbers = (seq, place)
    if not dash or any(not one.isascii() or not one.isdigit() or len(one) > 20 for one in numbers):
        return None
    return Position(int(seq), int(place))
