"""The lists in force, in memory: one hash table per kind of entry, and prefix tables for networks.

Each event changes only its own entries. A payment that no entry names costs one look-up per field.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

import msgspec

from features.domain.payment import Payment
from serving.decision.rules import LISTS, Listed
from serving.ledger.reader import Event
from serving.lists.entry import ADD, BEGIN, BUNDLE, KINDS, Change, Entry, Position, decode_change, entries_of
from serving.lists.match import deciding, listed_of
from serving.lists.networks import Networks, is_network

#: Entries that one page looks at; with a filter it may come out shorter than asked.
MOST_LOOKED_AT = 20_000

#: A million entries are far more than a processor's cache holds, and nearly no payment is listed. So a byte for each
#: hash of a value says first which kinds have an entry of such a hash: four megabytes instead of a hundred.
_HINTS = 0x3FFFFF + 1  # the mask stands as a number below: a name costs a tenth of the look-up
_BIT = {"payer": 1, "instrument": 2, "device": 4, "ip": 8, "payee": 16, "country": 0, "mcc": 0}

#: The entries of one value, which may stand on several lists: one, or a few.
Held = Entry | tuple[Entry, ...]


class Block(msgspec.Struct, gc=False):
    """The entries that one event added, None where one was removed or replaced since."""

    seq: int
    entries: list[Entry | None]
    left: int


class ListBook:
    """Every entry in force after the event `seq`; one thread."""

    def __init__(self) -> None:
        self.seq = 0
        self._any = False
        self.counts: Counter[str] = Counter()
        #: (list, kind, value) of every entry that was ever taken over from a bundle.
        self.taken_over: set[tuple[str, str, str]] = set()
        self._tables: dict[str, dict[str | None, Held]] = {kind: {} for kind in KINDS}
        self._exact = tuple(self._tables[kind] for kind in KINDS)
        self._hints = bytearray(_HINTS)
        self._networks: Networks[Held] = Networks()
        self._blocks: dict[str, list[Block]] = {name: [] for name in LISTS}
        #: Listed network addresses behind pseudonyms, see serving/lists/addresses.py.
        self.clear_addresses: dict[str, str] = {}

    # -- payments ------------------------------------------------------------------------------

    def find(self, payment: Payment) -> Listed | None:
        """The list that decides about the payment, at its event time; None if no entry in force names it."""
        if not self._any:
            return None
        payers, instruments, devices, ips, payees, countries, mccs = self._exact
        ip = payment.ip
        networks: list[Held] = []
        if ip is not None and not self._networks.empty:
            networks = self._networks.holding(self.clear_addresses.get(ip, ip) if self.clear_addresses else ip)
        hints = self._hints
        if not (
            networks
            or hints[hash(payment.payer_id) & 0x3FFFFF] & 1
            or hints[hash(payment.instrument_id) & 0x3FFFFF] & 2
            or hints[hash(payment.payee_id) & 0x3FFFFF] & 16
            or hints[hash(payment.device_id) & 0x3FFFFF] & 4
            or hints[hash(ip) & 0x3FFFFF] & 8
            or payment.payer_country in countries
            or payment.payee_country in countries
            or payment.mcc in mccs
        ):
            return None
        found = [
            held
            for held in (
                payers.get(payment.payer_id),
                instruments.get(payment.instrument_id),
                devices.get(payment.device_id),
                ips.get(ip),
                payees.get(payment.payee_id),
                countries.get(payment.payer_country),
                countries.get(payment.payee_country),
                mccs.get(payment.mcc),
                *networks,
            )
            if held is not None
        ]
        if not found:  # another value of the same hash
            return None
        first = found[0]
        if len(found) == 1 and isinstance(first, Entry):  # the ordinary case, without a choice
            return listed_of(first) if first.holds_at(payment.event_time_ms) else None
        return deciding([one for held in found for one in _each(held)], payment.event_time_ms)

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
        self._any = True
        return tuple([self._put(entry) for entry in entries])

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
        return self._tables[kind].get(value)

    def _put(self, entry: Entry) -> str:
        """Put an entry into its table; whether it is `added`, or has `replaced` another of its list."""
        kind, value = entry.kind, entry.value
        held = self._held(kind, value)
        if held is None:
            self._set(kind, value, entry)
            return "added"
        others = tuple([one for one in _each(held) if one.list != entry.list])
        former = next((one for one in _each(held) if one.list == entry.list), None)
        self._set(kind, value, (*others, entry) if others else entry)
        if former is None:
            return "added"
        self._forget(former)
        return "replaced"

    def _drop(self, name: str, kind: str, value: str) -> Entry | None:
        held = self._held(kind, value)
        former = next((one for one in _each(held) if one.list == name), None)
        if former is None:
            return None
        others = tuple([one for one in _each(held) if one.list != name])
        if others:
            self._set(kind, value, others if len(others) > 1 else others[0])
        elif kind == "ip" and is_network(value):
            self._networks.drop(value)
        else:
            del self._tables[kind][value]
        return former

    def _set(self, kind: str, value: str, held: Held) -> None:
        if kind == "ip" and is_network(value):
            self._networks.put(value, held)
        else:
            self._tables[kind][value] = held
            self._hints[hash(value) & 0x3FFFFF] |= _BIT[kind]

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
        return next((one for one in _each(self._held(kind, value)) if one.list == name), None)

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
