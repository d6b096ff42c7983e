"""The lists in force, in memory: a hash table of values, and prefix tables for networks.

Each event changes only its own entries. A payment that no entry names costs one call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import msgspec

from features.domain.payment import Payment
from serving.decision.rules import LISTS, Listed
from serving.ledger.reader import Event
from serving.lists.entry import ADD, BEGIN, BUNDLE, FIELDS, Change, Entry, Position, decode_change, entries_of
from serving.lists.match import deciding, listed_of
from serving.lists.networks import Networks, is_network

#: Entries that one page looks at; with a filter it may come out shorter than asked.
MOST_LOOKED_AT = 20_000

#: The entries of one value, which may stand on several lists and mean several kinds: one, or a few.
Held = Entry | tuple[Entry, ...]

#: The kinds of the fields that `ListBook.find` looks up, in its order.
_NAMED = tuple(kind for kind, fields in FIELDS.items() for _ in fields)


class Block(msgspec.Struct, gc=False):
    """The entries that one event added, None where one was removed or replaced since."""

    seq: int
    entries: list[Entry | None]
    left: int


class ListBook:
    """Every entry in force after the event `seq`; one thread."""

    def __init__(self) -> None:
        self.seq = 0
        self.counts: Counter[str] = Counter()
        #: (list, kind, value) of every entry that was ever taken over from a bundle.
        self.taken_over: set[tuple[str, str, str]] = set()
        #: The entries of every kind but networks: of one table, one call says that it holds no field of a payment.
        self._exact: dict[str | None, Held] = {}
        self._values = self._exact.keys()
        self._networks: Networks[Held] = Networks()
        self._blocks: dict[str, list[Block]] = {name: [] for name in LISTS}
        #: Listed network addresses behind pseudonyms, see serving/lists/addresses.py.
        self.clear_addresses: dict[str, str] = {}

    # -- payments ------------------------------------------------------------------------------

    def find(self, payment: Payment) -> Listed | None:
        """The list that decides about the payment, at its event time; None if no entry in force names it."""
        if not self._exact and self._networks.empty:
            return None
        ip = payment.ip
        networks: Sequence[Held] = ()
        if ip is not None and not self._networks.empty:
            networks = self._networks.holding(self.clear_addresses.get(ip, ip) if self.clear_addresses else ip)
        named = (
            payment.payer_id,
            payment.instrument_id,
            payment.device_id,
            ip,
            payment.payee_id,
            payment.payer_country,
            payment.payee_country,
            payment.mcc,
        )
        if not networks and self._values.isdisjoint(named):
            return None
        found = [
            one
            for kind, value in zip(_NAMED, named, strict=True)
            for one in _each(self._exact.get(value))
            if one.kind == kind
        ]
        for held in networks:
            found += _each(held)
        if len(found) == 1:  # the ordinary case, without a choice
            return listed_of(found[0]) if found[0].holds_at(payment.event_time_ms) else None
        return deciding(found, payment.event_time_ms)

    def in_a_network(self, address: str) -> bool:
        """Whether a network of any list holds this address (in its canonical spelling)."""
        return not self._networks.empty and bool(self._networks.holding(address))

    # -- changes -------------------------------------------------------------------------------

    def take(self, event: Event) -> tuple[str, ...]:
        """Apply a `list` event that follows the last one; what became of each of its entries.

        `added`, `replaced` and `removed` say what happened, `absent` that there was nothing to remove.
        Raises: msgspec.DecodeError, ValueError for an event that cannot be read; then nothing has changed.
        """
        change = decode_change(event.body)
        self.seq = event.seq
        return self._add(event, change) if change.action == ADD else self._remove(change)

    def _add(self, event: Event, change: Change) -> tuple[str, ...]:
        entries = entries_of(event, change)
        if change.author == BUNDLE:
            self.taken_over.update((change.list, one.kind, one.value) for one in change.entries)
        block = Block(event.seq, list(entries), len(entries))
        self._blocks[change.list].append(block)
        self.counts[change.list] += len(entries)
        exact, statuses = self._exact, []
        for entry in entries:
            value = entry.value
            if value in exact or (entry.kind == "ip" and is_network(value)):
                statuses.append(self._put(entry))
            else:
                exact[value] = entry
                statuses.append("added")
        return tuple(statuses)

    def _remove(self, change: Change) -> tuple[str, ...]:
        statuses = []
        for one in change.entries:
            former = self._drop(change.list, one.kind, one.value)
            if former is not None:
                self._forget(former)
            statuses.append("absent" if former is None else "removed")
        return tuple(statuses)

    def _held(self, kind: str, value: str) -> Held | None:
        if kind == "ip" and is_network(value):
            return self._networks.get(value)
        return self._exact.get(value)

    def _put(self, entry: Entry) -> str:
        """Put an entry into its table; whether it is `added`, or has `replaced` another of its list."""
        kind, value = entry.kind, entry.value
        held = self._held(kind, value)
        if held is None:
            self._set(kind, value, entry)
            return "added"
        former = next((one for one in _each(held) if (one.list, one.kind) == (entry.list, kind)), None)
        others = tuple([one for one in _each(held) if one is not former])
        self._set(kind, value, (*others, entry) if others else entry)
        if former is None:
            return "added"
        self._forget(former)
        return "replaced"

    def _drop(self, name: str, kind: str, value: str) -> Entry | None:
        held = self._held(kind, value)
        former = next((one for one in _each(held) if (one.list, one.kind) == (name, kind)), None)
        if former is None:
            return None
        others = tuple([one for one in _each(held) if one is not former])
        if others:
            self._set(kind, value, others if len(others) > 1 else others[0])
        elif kind == "ip" and is_network(value):
            self._networks.drop(value)
        else:
            del self._exact[value]
        return former

    def _set(self, kind: str, value: str, held: Held) -> None:
        if kind == "ip" and is_network(value):
            self._networks.put(value, held)
        else:
            self._exact[value] = held

    def _forget(self, entry: Entry) -> None:
        """Take an entry out of the block of its event."""
        self.counts[entry.list] -= 1
        blocks = self._blocks[entry.list]
        place = bisect_left(blocks, entry.seq, key=_seq_of)
        block = blocks[place]
        block.entries[entry.place] = None
        block.left -= 1
        if not block.left:
            del blocks[place]

    # -- reading -------------------------------------------------------------------------------

    def entry(self, name: str, kind: str, value: str) -> Entry | None:
        """The entry of one value (in stored form) on one list, expired or not."""
        found = (one for one in _each(self._held(kind, value)) if (one.list, one.kind) == (name, kind))
        return next(found, None)

    def page(
        self, name: str, after: Position = BEGIN, limit: int = 100, kind: str | None = None
    ) -> tuple[list[Entry], Position | None]:
        """Entries of one list in the order in which they were added, and where the next page begins (None: the end)."""
        blocks = self._blocks[name]
        found: list[Entry] = []
        looked_at = 0
        first = bisect_left(blocks, after.seq, key=_seq_of)
        for place in range(first, len(blocks)):
            block = blocks[place]
            begin = after.place + 1 if block.seq == after.seq else 0
            for inner in range(begin, len(block.entries)):
                entry = block.entries[inner]
                looked_at += 1
                if entry is not None and (kind is None or entry.kind == kind):
                    found.append(entry)
                if len(found) == limit or looked_at >= MOST_LOOKED_AT:
                    at = Position(block.seq, inner)
                    last = place == len(blocks) - 1 and inner == len(block.entries) - 1
                    return found, None if last else at
        return found, None


def _each(held: Held | None) -> tuple[Entry, ...]:
    if held is None:
        return ()
    return held if isinstance(held, tuple) else (held,)


def _seq_of(block: Block) -> int:
    return block.seq
