"""Entity strings in a dictionary: what a store outside the process does, without the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.state.codec import EMPTY, HEADER_BYTES
from features.state.remote import EntityStrings, generation_of, header

Compact = Callable[[int], bool]  # asked with the number of events in a tail


class StringStore:
    """Reads strings before appending to them; packs one again when `compact` is set."""

    def __init__(self, catalogue: Catalogue, compact: Compact = lambda tail: tail >= 4) -> None:
        self.strings = EntityStrings(catalogue)
        self.kept: dict[tuple[int, str], bytes] = {}
        self.compact = compact

    def score(self, payment: Payment) -> tuple[Any, tuple[int, ...]]:
        """(vector, seen) of a payment, which is part of the past afterwards."""
        entry = self.strings.entry(payment)
        before: list[bytes | None] = []
        for e, key in enumerate(entry.keys):
            old = None if key is None else self.kept.get((e, key))
            before.append(old)
            if key is not None:
                self.kept[e, key] = (old or EMPTY) + (entry.events[e] or b"")
        vector = self.strings.observe(payment, entry, before, None)
        for e, key in enumerate(entry.keys):
            if key is not None and self.compact(self._tail(e, self.kept[e, key])):
                packed = self.strings.packed(e)
                self.kept[e, key] = header(generation_of(self.kept[e, key]) + 1, packed) + packed
        return vector, self.strings.last_seen()

    def annotate(self, payment: Payment, what: str) -> None:
        """Append what became known to the entities that keep anything of it."""
        for e, (key, event) in self.strings.report(payment, what, 1).items():
            if (e, key) in self.kept:
                self.kept[e, key] += event

    def canonical(self) -> dict[tuple[int, str], bytes]:
        """Every record, packed after all its tail."""
        return {(e, key): self.strings.canonical(e, string) for (e, key), string in self.kept.items()}

    def _tail(self, e: int, string: bytes) -> int:
        packed = int.from_bytes(string[4:HEADER_BYTES], "little")
        return (len(string) - HEADER_BYTES - packed) // self.strings.event_bytes[e]
