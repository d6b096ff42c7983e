"""What every list held after any event: for `verify`, whose payments name the event up to which their worker was.

Workers are not equally far, so the payments of a ledger do not name these events in order.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from features.domain.payment import Payment
from serving.decision.evaluator import OF_BUNDLE
from serving.decision.receipt import Receipt
from serving.decision.rules import Listed
from serving.ledger.reader import Event, LedgerReader
from serving.lists.entry import ADD, FIELDS, KINDS, LIST, Entry, decode_change, entries_of
from serving.lists.match import deciding
from serving.lists.networks import Networks, is_network


class Version(msgspec.Struct, frozen=True, gc=False):
    """What one list holds of one value from an event on; None: nothing."""

    seq: int
    list: str
    entry: Entry | None


Versions = list[Version]


class ListHistory:
    """Every version of every entry, read from a ledger as far as it was asked for."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._events = ledger.each_of_kind(LIST, page=20)
        self._next: Event | None = next(self._events, None)
        self._tables: dict[str, dict[str, Versions]] = {kind: {} for kind in KINDS}
        self._networks: Networks[Versions] = Networks()

    def find(self, payment: Payment, seq: int, network: str = "") -> Listed | None:
        """What `ListBook.find` gave after the event `seq`.

        `network` is the one that the receipt names: the address of the payment itself may be a pseudonym.
        """
        self._read_to(seq)
        entries = [entry for versions in self._versions(payment, network) for entry in _at(versions, seq)]
        return deciding(entries, payment.event_time_ms)

    def listed(self, payment: Payment, receipt: Receipt) -> Listed | None:
        """What the lists of the worker said of the payment of this receipt."""
        if receipt.lists_seq < 0:
            return OF_BUNDLE
        return self.find(payment, receipt.lists_seq, receipt.network)

    def _versions(self, payment: Payment, network: str) -> Iterator[Versions]:
        for kind, fields in FIELDS.items():
            for field in fields:
                yield self._tables[kind].get(getattr(payment, field), [])
        if payment.ip is not None:
            yield from self._networks.holding(payment.ip)
        if network:
            yield self._networks.get(network) or []

    def _read_to(self, seq: int) -> None:
        while self._next is not None and self._next.seq <= seq:
            # What cannot be read is set aside by every fold.
            with contextlib.suppress(msgspec.DecodeError, ValueError):
                self._take(self._next)
            self._next = next(self._events, None)

    def _take(self, event: Event) -> None:
        change = decode_change(event.body)
        if change.action == ADD:
            for entry in entries_of(event, change):
                self._note(entry.kind, entry.value, Version(event.seq, change.list, entry))
            return
        for one in change.entries:
            self._note(one.kind, one.value, Version(event.seq, change.list, None))

    def _note(self, kind: str, value: str, version: Version) -> None:
        if kind == "ip" and is_network(value):
            versions = self._networks.get(value)
            if versions is None:
                versions = []
                self._networks.put(value, versions)
        else:
            versions = self._tables[kind].setdefault(value, [])
        versions.append(version)


def _at(versions: Versions, seq: int) -> list[Entry]:
    """The entries of one value after an event: the last version of each list."""
    last = {one.list: one.entry for one in versions[: bisect_right(versions, seq, key=lambda one: one.seq)]}
    return [entry for entry in last.values() if entry is not None]
