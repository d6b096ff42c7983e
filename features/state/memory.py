"""The online window state in this process: a fold of events that is read before each event is added."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from features.catalogue.aggregate import FILTERS
from features.catalogue.catalogue import Catalogue
from features.catalogue.payment_features import PROFILE_WORDS
from features.domain.payment import Payment
from features.errors import BrokenState, ContractMismatch
from features.kernel import step
from features.kernel.heap import new_heap, with_room
from features.kernel.plan import plan_of
from features.kernel.tiles import SEEN
from features.state import snapshot
from features.state.columns import MISSING, encode_extra, encode_profiles, extra_words, reference_amount
from features.state.profiles import Profiles

Vector = npt.NDArray[np.float64]

#: Writes a list into int64[6], five times faster than numpy.
_PUT_RECORDS = struct.Struct(f"={step.ENTITY_COUNT}q").pack_into

_NOT_SENT, _NO_HISTORY = -1, 0
_NOT_WANTED = np.empty(0)
#: Separates payer and payee in the key of a pair.
SEPARATOR = "\x1f"  # no identifier may hold it: control characters are refused at intake

#: Shards of a key table. A full dictionary is copied to a larger one by the insertion that finds it full: 27 ms at
#: 700 thousand keys, 57 ms at 1.4 million, while a payment waits. One shard takes 1/256 of that, at another time.
SHARDS = 256
#: Which shard holds a key: `hash(key) & LAST`.
LAST = SHARDS - 1


class KeyTable:
    """Maps keys to the offsets of their records, above 0; the hot path reads `base` and `shards` directly.

    `base` holds the keys of a snapshot or a replay and never grows: it is taken over as it was decoded.

    >>> table = KeyTable({"u-1": 64})
    >>> table["u-2"] = 128
    >>> table.base, table.shards[hash("u-2") & LAST], len(table), sorted(table.items())
    ({'u-1': 64}, {'u-2': 128}, 2, [('u-1', 64), ('u-2', 128)])
    """

    __slots__ = ("base", "shards")

    def __init__(self, known: dict[str, int] | None = None) -> None:
        self.base: dict[str, int] = {} if known is None else known
        self.shards: list[dict[str, int]] = [{} for _ in range(SHARDS)]

    def __setitem__(self, key: str, record: int) -> None:
        known = self.base if key in self.base else self.shards[hash(key) & LAST]
        known[key] = record

    def __len__(self) -> int:
        return len(self.base) + sum(map(len, self.shards))

    def items(self) -> Iterator[tuple[str, int]]:
        """Every key and its record."""
        for part in (self.base, *self.shards):
            yield from part.items()

    def whole(self) -> dict[str, int]:
        """Every key and its record in one dictionary, which is not to be changed."""
        if not any(self.shards):
            return self.base
        merged = self.base.copy()
        for shard in self.shards:
            merged.update(shard)
        return merged


def entity_keys(payment: Payment, address_key: Callable[[str], str]) -> tuple[str | None, ...]:
    """The keys of payer, instrument, device, ip, payee and pair; None where the payment does not name one."""
    payer, payee, ip = payment.payer_id or None, payment.payee_id or None, payment.ip
    return (
        payer, payment.instrument_id or None, payment.device_id, None if ip is None else address_key(ip), payee,
        payer + SEPARATOR + payee if payer and payee else None,
    )  # fmt: skip


class Position(msgspec.Struct, frozen=True):
    """The ledger position of a state: it holds all events up to `seq`; `event` is a digest of that event."""

    seq: int = 0
    event: str = ""


BEGINNING = Position()


class State:
    """Window state of every entity. Not thread-safe: one thread observes and applies, in the order of the ledger.

    `observe` changes nothing; `observe_and_apply` is the hot path, one call of the kernel. A payment that cannot be
    encoded raises before the kernel runs, so a call that raises has changed nothing.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.too_late = 0  # entity updates whose event was older than every window
        plan = plan_of(catalogue)
        self._plan, self._address_key = plan, catalogue.address_key
        self._tables = (plan.ents, plan.fields, plan.heads, plan.lists, plan.bounds)
        self._reading = (plan.outs, plan.ratios, plan.layout, np.zeros(plan.scratch, np.int64))
        self._heap = new_heap()
        self._records = tuple(KeyTable() for _ in range(step.ENTITY_COUNT))
        self._recs = np.zeros(step.ENTITY_COUNT, np.int64)
        self._seen = np.zeros(step.ENTITY_COUNT, np.int64)
        self._extra = np.zeros(extra_words(catalogue))
        self._profile, self._no_profile = np.zeros(PROFILE_WORDS), np.full(PROFILE_WORDS, MISSING)

    def _find(self, payment: Payment) -> tuple[tuple[str | None, ...], list[int]]:
        """Set `_recs` to the records of this payment's entities; returns the keys and the records."""
        keys = entity_keys(payment, self._address_key)
        found = [
            _NOT_SENT if key is None
            else table.shards[hash(key) & LAST].get(key) or table.base.get(key, _NO_HISTORY)
            for key, table in zip(keys, self._records, strict=True)
        ]  # fmt: skip
        _PUT_RECORDS(self._recs.data, 0, *found)
        return keys, found

    def _step(self, payment: Payment, profiles: Profiles | None, keep: bool, out: Vector) -> Vector:
        encode_extra(payment, self.catalogue, self._extra)
        profile = self._no_profile
        if out.size and profiles is not None and not profiles.empty:
            profile = self._profile
            encode_profiles(payment, profiles, profile)
        keys, found = self._find(payment)
        if keep:
            self._heap = with_room(self._heap, self._plan.slack_words)
        self.too_late += step.step(
            self._heap, *self._tables, *self._reading, self._recs, self._recs, self._seen, payment.event_time_ms,
            reference_amount(payment, self.catalogue), self._extra, profile, out, keep,
        )  # fmt: skip
        if keep and _NO_HISTORY in found:
            for key, known, before, record in zip(keys, self._records, found, self._recs.tolist(), strict=True):
                if before == _NO_HISTORY and key is not None:
                    known[key] = record
        return out

    def observe(self, payment: Payment, profiles: Profiles | None = None) -> Vector:
        """Features of a payment given everything folded in so far, float64[columns], NaN = missing."""
        return self._step(payment, profiles, False, np.empty(len(self.catalogue.names)))

    def observe_and_apply(self, payment: Payment, profiles: Profiles | None = None) -> Vector:
        """Like `observe`; then folds the payment in."""
        return self._step(payment, profiles, True, np.empty(len(self.catalogue.names)))

    def apply(self, payment: Payment) -> None:
        """Fold a payment in without computing its features."""
        self._step(payment, None, True, _NOT_WANTED)

    def annotate(self, payment: Payment, what: str, weight: int = 1) -> None:
        """Fold in a label or outcome of an earlier payment: `fraud`, `legitimate`, `declined` or `reversed`.

        `weight` -1 retracts it (counts and shares; "time since" keeps its value).
        """
        self._find(payment)
        self._heap = with_room(self._heap, self._plan.slack_words)
        self.too_late += step.annotate(
            self._heap, *self._tables, self._recs, self._recs, payment.event_time_ms,
            reference_amount(payment, self.catalogue), FILTERS[what].bit, weight,
        )  # fmt: skip

    def last_seen(self) -> tuple[int, ...]:
        """The `events_seen` of the latest observed payment, as of just before it was folded in."""
        return tuple(self._seen.tolist())

    def events_seen(self, payment: Payment) -> list[int]:
        """For each entity of ENTITIES, how many events its state has folded; -1 if the payment does not name one."""
        self._find(payment)
        return [int(r) if r <= 0 else int(self._heap[r + SEEN]) for r in self._recs]

    def entities(self) -> int:
        """How many entities have a record."""
        return sum(len(r) for r in self._records)

    def bytes_used(self) -> int:
        """Bytes of the heap in use (the dictionaries of keys not counted)."""
        return int(self._heap[0]) * 8

    @property
    def heap(self) -> npt.NDArray[np.int64]:
        """The words of all records; a full heap is replaced by a larger copy."""
        return self._heap

    @property
    def records(self) -> tuple[KeyTable, ...]:
        """The key table of each entity kind."""
        return self._records

    def adopt(self, heap: npt.NDArray[np.int64], records: tuple[dict[str, int], ...], too_late: int) -> None:
        """Take over a heap and its key tables from bulk replay or a snapshot."""
        self._heap, self._records, self.too_late = heap, tuple(map(KeyTable, records)), too_late

    def save(self, path: Path, position: Position = BEGINNING, rest: bytes = b"") -> None:
        """Write a snapshot, whole or not at all; `position` is its place in the ledger.

        `rest` is what its reader needs besides the state.
        """
        records = tuple(known.whole() for known in self._records)
        head = _Head(self.catalogue.contract().hash, position, self.too_late, records, rest)
        snapshot.write(path, msgspec.msgpack.encode(head), self._heap[: self._heap[0]])

    @staticmethod
    def load(path: Path, catalogue: Catalogue) -> State:
        """The state that `save` wrote; see `load_at`."""
        return State.load_at(path, catalogue).state

    @staticmethod
    def load_at(path: Path, catalogue: Catalogue) -> Loaded:
        """The state that `save` wrote, its position, and the rest.

        Raises: BrokenState if the file is not what `save` wrote, ContractMismatch if it was made with another
        catalogue, OSError if it cannot be read.
        """
        encoded, heap = snapshot.read(path, plan_of(catalogue).slack_words)
        try:
            head = msgspec.msgpack.decode(encoded, type=_Head)
        except msgspec.DecodeError as error:
            raise BrokenState(
                "Its head is of another release.", "Delete it; the state is folded from the ledger."
            ) from error
        if head.contract != catalogue.contract().hash:
            raise ContractMismatch(
                f"The snapshot {path.name} was made with catalogue {head.contract[:8]}, "
                f"this code has {catalogue.contract().hash[:8]}.",
                "Delete the snapshot; the state is rebuilt from the ledger.",
            )
        state = State(catalogue)
        state.adopt(heap, head.records, head.too_late)
        return Loaded(state, head.position, head.rest)


class Loaded(NamedTuple):
    """What a snapshot holds; `rest` is empty in those of earlier releases."""

    state: State
    position: Position
    rest: bytes


class _Head(msgspec.Struct):
    contract: str
    position: Position
    too_late: int
    records: tuple[dict[str, int], ...]
    rest: bytes = b""
