"""Window state in a store outside the process: prepares a payment for the store, computes features from its strings.

A store keeps one string per entity (features/state/codec.py). For a payment it reads six strings and appends an event
to each: `entry` makes the events before the round trip, `observe` folds the strings after it, with the same kernel
as everywhere. `packed` is the new record for a string with a long tail.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from features.catalogue.aggregate import FILTERS
from features.catalogue.catalogue import Catalogue
from features.catalogue.payment_features import PROFILE_WORDS, mask_of
from features.domain.payment import ENTITIES, Payment
from features.errors import BrokenState
from features.jit import compiled
from features.kernel.heap import HEADER_WORDS, LARGEST_CAPACITY, Words, new_heap
from features.kernel.plan import plan_of
from features.kernel.step import BITS, ENTITY_COUNT, LISTS, WIDTH, step
from features.kernel.tiles import Table
from features.state.codec import (
    EMPTY,
    TAG_BITS,
    clear,
    event_words,
    fold_string,
    pack,
    tail_events,
    write_event,
)
from features.state.columns import MISSING, encode_extra, encode_profiles, extra_words, reference_amount
from features.state.memory import State, entity_keys
from features.state.profiles import Profiles
from features.state.varint import WORD_BYTES, Bytes

Vector = npt.NDArray[np.float64]

#: A reader that finds this many events in a string's tail packs the string again.
LONG_TAIL = 15
_TAG = (1 << TAG_BITS) - 1
_LARGEST_IDENTITY = 2**63 - 1
#: Write a list into int64[6] and int64[7], five times faster than numpy.
_PUT_KINDS = struct.Struct(f"={ENTITY_COUNT}q").pack_into
_PUT_PLACES = struct.Struct(f"={ENTITY_COUNT + 1}q").pack_into
#: Most bytes of a varint.
_MOST = 10

#: One letter for payer, instrument, device, ip, payee and pair.
LETTERS = ("u", "i", "d", "a", "m", "p")


class Entry(NamedTuple):
    """A payment ready for a store: the key of each entity (None: not sent) and the event to append to its string."""

    keys: tuple[str | None, ...]
    events: tuple[bytes | None, ...]
    ids: Words
    amount: int
    extra: Vector


@lru_cache(maxsize=1 << 16)
def identity(kind: int, key: str) -> int:
    """Stable positive 63-bit id of an entity, used in other entities' counterparty lists."""
    digest = hashlib.blake2b(key.encode(), digest_size=8, person=ENTITIES[kind].encode()).digest()
    return int.from_bytes(digest, "little") & _LARGEST_IDENTITY or 1


def entity_prefixes(prefix: str) -> tuple[str, ...]:
    """For each entity kind the prefix of its strings' Redis keys; an id and a closing brace follow.

    Redis Cluster hashes the part in braces, so all keys of one entity share a slot.

    >>> entity_prefixes("rg")[0] + "u-1042" + "}"
    'rg:{u:u-1042}'
    """
    return tuple(f"{prefix}:{{{letter}:" for letter in LETTERS)


def generation_of(string: bytes) -> int:
    """How often a string was packed."""
    return int.from_bytes(string[:4], "little")


def header(generation: int, packed: bytes) -> bytes:
    """The header of a string: generation and length of the packed record."""
    return (generation & 0xFFFFFFFF).to_bytes(4, "little") + len(packed).to_bytes(4, "little")


@compiled
def payment_events(
    others: Words, layout: Words, ts: int, amount: int, extra: Vector, tag: int, ids: Words, out: Words
) -> None:  # fmt: skip
    """Write the event of a payment for each of the six tails, consecutively, into `out`."""
    mask, at = mask_of(layout, ts, amount, extra), 0
    for e in range(ENTITY_COUNT):
        at = write_event(others, e, ts, amount, mask, 1, tag, ids, out, at)


@compiled
def observe_strings(
    heap: Words, ents: Table, fields: Table, heads: Table, lists: Table, bounds: Table, outs: Table, ratios: Table,
    layout: Words, cum: Table, others: Words, data: Bytes, places: Words, recs: Words, met: Words, ids: Words,
    seen: Words, ts: int, amount: int, extra: Vector, profile: Vector, out: Vector, keep: bool,
) -> int:  # fmt: skip
    """Fold six strings into records and call `step`; -1 - e if the string of entity kind e is broken.

    Otherwise the result has a bit for each kind with a long tail and, above those bits, the number of entities that
    the payment was too late for.

    data: the strings concatenated. places: int64[7], where each begins. recs: 0 = no string, -1 = not sent.
    """
    clear(heap)
    long = 0
    for e in range(ENTITY_COUNT):
        if recs[e] >= 0 and places[e + 1] > places[e]:
            if tail_events(others, e, data, places[e], places[e + 1]) >= LONG_TAIL:
                long |= 1 << e
            record = fold_string(
                heap, e, ents, fields, heads, lists, bounds, others, data, places[e], places[e + 1], recs, met
            )
            if record < 0:
                return -1 - e
    late = step(
        heap, ents, fields, heads, lists, bounds, outs, ratios, layout, cum, recs, ids, seen, ts, amount, extra,
        profile, out, keep,
    )  # fmt: skip
    return long | late << ENTITY_COUNT


class EntityStrings:
    """The kernel of one catalogue on strings; one thread, one payment at a time."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.too_late = 0  # entity updates of observed payments that were older than every window
        plan = plan_of(catalogue)
        self._tables = (plan.ents, plan.fields, plan.heads, plan.lists, plan.bounds)
        self._reading = (plan.outs, plan.ratios, plan.layout, np.zeros(plan.scratch, np.int64))
        self._layout = plan.layout
        self._others = np.zeros(ENTITY_COUNT, np.int64)
        for e in range(ENTITY_COUNT):
            for row in range(plan.ents[e, LISTS], plan.ents[e, LISTS + 1]):
                self._others[e] |= 1 << int(plan.lists[row, 0])
        self._kept_kinds = [bool(np.any(self._others >> kind & 1)) for kind in range(ENTITY_COUNT)]
        words = [event_words(self._others, e) for e in range(ENTITY_COUNT)]
        #: Bytes of one event in the tail of each entity kind.
        self.event_bytes = tuple(WORD_BYTES * one for one in words)
        self._cuts = [WORD_BYTES * sum(words[:e]) for e in range(ENTITY_COUNT + 1)]
        self._heap = new_heap(HEADER_WORDS + 4 * plan.slack_words)
        self._events = np.zeros(sum(words), np.int64)
        widest = int(plan.ents[:, WIDTH].max())
        lists_words = 3 * _MOST * int(plan.lists[:, 2].sum()) if len(plan.lists) else 0
        self._out = np.zeros(LARGEST_CAPACITY * (2 * widest + 2) * _MOST + lists_words + 64 * _MOST, np.uint8)
        self._places = np.zeros(ENTITY_COUNT + 1, np.int64)
        self._recs = np.zeros(ENTITY_COUNT, np.int64)
        self._met = np.zeros(ENTITY_COUNT, np.int64)
        self._seen = np.zeros(ENTITY_COUNT, np.int64)
        self._profile, self._no_profile = np.zeros(PROFILE_WORDS), np.full(PROFILE_WORDS, MISSING)
        self._nothing = np.zeros(0, np.int64)
        self._long = 0

    # -- before the round trip -----------------------------------------------------------------

    def _ids(self, keys: Sequence[str | None]) -> Words:
        ids = [
            -1 if key is None else identity(kind, key) if remembered else 1
            for kind, (key, remembered) in enumerate(zip(keys, self._kept_kinds, strict=True))
        ]
        out = np.empty(ENTITY_COUNT, np.int64)
        _PUT_KINDS(out.data, 0, *ids)
        return out

    def entry(self, payment: Payment) -> Entry:
        """The keys that the store reads for a payment, and the events that it appends."""
        keys = entity_keys(payment, self.catalogue.address_key)
        ids = self._ids(keys)
        amount = reference_amount(payment, self.catalogue)
        extra = np.empty(extra_words(self.catalogue))
        encode_extra(payment, self.catalogue, extra)
        tag = crc32(payment.transaction_id.encode()) & _TAG
        payment_events(self._others, self._layout, payment.event_time_ms, amount, extra, tag, ids, self._events)
        return Entry(keys, self._cut(keys), ids, amount, extra)

    def report(self, payment: Payment, what: str, weight: int) -> dict[int, tuple[str, bytes]]:
        """A label or outcome of a payment: (key, event) for each entity kind whose state depends on it."""
        keys, bit = entity_keys(payment, self.catalogue.address_key), FILTERS[what].bit
        ids, amount = self._ids(keys), reference_amount(payment, self.catalogue)
        tag = crc32(payment.transaction_id.encode()) & _TAG
        found = {}
        for e, key in enumerate(keys):
            if key is not None and (int(self._tables[0][e, BITS]) >> bit) & 1:
                write_event(self._others, e, payment.event_time_ms, amount, 1 << bit, weight, tag, ids, self._events, 0)
                found[e] = key, self._events.tobytes()[: self.event_bytes[e]]
        return found

    def _cut(self, keys: Sequence[str | None]) -> tuple[bytes | None, ...]:
        events, cuts = self._events.tobytes(), self._cuts
        return tuple([None if key is None else events[cuts[e] : cuts[e + 1]] for e, key in enumerate(keys)])

    # -- after the round trip ------------------------------------------------------------------

    def observe(
        self, payment: Payment, entry: Entry, strings: Sequence[bytes | None], profiles: Profiles | None,
        *, keep: bool = True,
    ) -> Vector:  # fmt: skip
        """Features of a payment given the strings as of just before it (None: no history); float64[columns].

        If `keep`, the payment is then folded into the records that `packed` returns.
        Raises: BrokenState.
        """
        profile = self._no_profile
        if profiles is not None and not profiles.empty:
            profile = self._profile
            encode_profiles(payment, profiles, profile)
        _PUT_KINDS(self._recs.data, 0, *[-1 if key is None else 0 for key in entry.keys])
        places, at = [0], 0
        for string in strings:
            at += 0 if string is None else len(string)
            places.append(at)
        _PUT_PLACES(self._places.data, 0, *places)
        data = np.frombuffer(b"".join([string for string in strings if string]) or EMPTY, np.uint8)
        out = np.empty(len(self.catalogue.names))
        found = observe_strings(
            self._heap, *self._tables, *self._reading, self._others, data, self._places, self._recs, self._met,
            entry.ids, self._seen, payment.event_time_ms, entry.amount, entry.extra, profile, out, keep,
        )  # fmt: skip
        if found < 0:
            broken = -1 - found
            raise BrokenState(
                f"The state of {ENTITIES[broken]} `{entry.keys[broken]}` cannot be read.",
                "Rebuild it from the ledger: python -m serving rebuild-state.",
            )
        self._long = found & ((1 << ENTITY_COUNT) - 1)
        self.too_late += found >> ENTITY_COUNT
        return out

    def last_seen(self) -> tuple[int, ...]:
        """How many events each entity's string held when `observe` read it; -1 = not sent."""
        return tuple(self._seen.tolist())

    def long_tails(self) -> list[int]:
        """The entity kinds whose strings had a long tail in the latest `observe`: they should be packed again."""
        return [e for e in range(ENTITY_COUNT) if self._long >> e & 1] if self._long else []

    def packed(self, e: int) -> bytes:
        """The record of entity kind `e` after the latest `observe`, packed."""
        return self._pack(self._heap, int(self._recs[e]), e, self._nothing)

    def _pack(self, heap: Words, record: int, e: int, identities: Words) -> bytes:
        ents, fields, _, lists, bounds = self._tables
        length = pack(heap, record, e, ents, fields, lists, bounds, identities, self._out)
        return self._out[:length].tobytes()

    def canonical(self, e: int, string: bytes) -> bytes:
        """The packed record of a string with its tail folded in: equal states give equal bytes.

        Raises: BrokenState.
        """
        clear(self._heap)
        data = np.frombuffer(string, np.uint8)
        ents, fields, heads, lists, bounds = self._tables
        record = fold_string(
            self._heap, e, ents, fields, heads, lists, bounds, self._others, data, 0, len(data), self._recs, self._met
        )
        if record < 0:
            raise BrokenState(f"A string of kind {ENTITIES[e]} cannot be read.", "Rebuild the state.")
        return self._pack(self._heap, record, e, self._nothing)

    def pack_state(self, state: State) -> Iterator[tuple[int, str, bytes]]:
        """(kind, key, packed record) of every entity of a state in memory."""
        heap, records = state.heap, state.records
        identities = np.zeros(int(heap[0]), np.int64)
        for kind, known in enumerate(records):
            if self._kept_kinds[kind]:
                for key, record in known.items():
                    identities[record] = identity(kind, key)
        for kind, known in enumerate(records):
            for key, record in known.items():
                yield kind, key, self._pack(heap, record, kind, identities)
