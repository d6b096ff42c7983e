"""The online state in this process: a fold of events, read before it is appended to."""

from __future__ import annotations

import struct
from pathlib import Path

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
from features.state.columns import encode_extra, encode_profiles, extra_words, reference_amount
from features.state.key_table import LAST, KeyTable
from features.state.profiles import Profiles

Vector = npt.NDArray[np.float64]

#: Writes a list into int64[6] in a fifth of the time that numpy takes.
_PUT_RECORDS = struct.Struct(f"={step.ENTITY_COUNT}q").pack_into

_NOT_SENT, _NO_HISTORY = -1, 0
_NOT_WANTED = np.empty(0)
#: Between payer and payee in the key of a pair.
SEPARATOR = "\x1f"  # no identifier may hold it: control characters are refused at intake


class Position(msgspec.Struct, frozen=True):
    """What a state stands for: all events of a ledger up to `seq`; `event` is a digest of that one."""

    seq: int = 0
    event: str = ""


NOWHERE = Position()


class State:
    """Window state of every entity. Not thread-safe: one thread observes and applies, in the order of the ledger.

    `observe` changes nothing; `observe_and_apply` is the hot path, one call of the kernel. What cannot be encoded
    raises before the kernel runs: a call that raises has changed nothing.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.too_late = 0  # entity updates whose event was older than every window
        plan = plan_of(catalogue)
        self._plan = plan
        self._tables = (plan.ents, plan.fields, plan.heads, plan.lists, plan.bounds)
        self._reading = (plan.outs, plan.ratios, plan.layout, np.zeros(plan.scratch, np.int64))
        self._heap = new_heap()
        self._records = tuple(KeyTable() for _ in range(step.ENTITY_COUNT))
        self._recs = np.zeros(step.ENTITY_COUNT, np.int64)
        self._seen = np.zeros(step.ENTITY_COUNT, np.int64)
        self._extra = np.zeros(extra_words(catalogue))
        self._profile = np.zeros(PROFILE_WORDS)

    def _find(self, payment: Payment) -> tuple[tuple[str | None, ...], list[int]]:
        """Set `_recs` to the records of this payment's entities; their keys, and those records."""
        device_id, ip = payment.device_id, payment.ip
        pair = payment.payer_id + SEPARATOR + payment.payee_id
        keys = (payment.payer_id, payment.instrument_id, device_id, ip, payment.payee_id, pair)
        found = [
            _NOT_SENT if key is None else table.shards[hash(key) & LAST].get(key, _NO_HISTORY)
            for key, table in zip(keys, self._records, strict=True)
        ]
        _PUT_RECORDS(self._recs.data, 0, *found)
        return keys, found

    def _step(self, payment: Payment, profiles: Profiles | None, keep: bool, out: Vector) -> Vector:
        encode_extra(payment, self.catalogue, self._extra)
        if out.size:
            encode_profiles(payment, profiles, self._profile)
        keys, found = self._find(payment)
        if keep:
            self._heap = with_room(self._heap, self._plan.slack_words)
        self.too_late += step.step(
            self._heap, *self._tables, *self._reading, self._recs, self._recs, self._seen, payment.event_time_ms,
            reference_amount(payment, self.catalogue), self._extra, self._profile, out, keep,
        )  # fmt: skip
        if keep and _NO_HISTORY in found:
            for key, known, before, record in zip(keys, self._records, found, self._recs.tolist(), strict=True):
                if before == _NO_HISTORY and key is not None:
                    known[key] = record
        return out

    def observe(self, payment: Payment, profiles: Profiles | None = None) -> Vector:
        """Features of a payment given all that was folded in so far, float64[columns], NaN = missing."""
        return self._step(payment, profiles, False, np.empty(len(self.catalogue.names)))

    def observe_and_apply(self, payment: Payment, profiles: Profiles | None = None) -> Vector:
        """Like `observe`; then the payment becomes part of the past."""
        return self._step(payment, profiles, True, np.empty(len(self.catalogue.names)))

    def apply(self, payment: Payment) -> None:
        """Fold a payment in without need of its features."""
        self._step(payment, None, True, _NOT_WANTED)

    def annotate(self, payment: Payment, what: str, weight: int = 1) -> None:
        """Fold in what became known about an earlier payment: `fraud`, `declined` or `reversed`.

        `weight` -1 takes it back (counts and shares; "time since" keeps its value).
        """
        self._find(payment)
        self._heap = with_room(self._heap, self._plan.slack_words)
        self.too_late += step.annotate(
            self._heap, *self._tables, self._recs, self._recs, payment.event_time_ms,
            reference_amount(payment, self.catalogue), FILTERS[what].bit, weight,
        )  # fmt: skip

    def last_seen(self) -> tuple[int, ...]:
        """What `events_seen` was when the latest payment was observed, just before it was folded in."""
        return tuple(self._seen.tolist())

    def events_seen(self, payment: Payment) -> list[int]:
        """For each entity of ENTITIES, how many events its state has folded; -1 where it was not sent."""
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
        """The words of all records; replaced by a larger copy when it gets full."""
        return self._heap

    @property
    def records(self) -> tuple[KeyTable, ...]:
        """For each entity kind the offset of the record of every key."""
        return self._records

    def adopt(self, heap: npt.NDArray[np.int64], records: tuple[dict[str, int], ...], too_late: int) -> None:
        """Take over a heap and its key tables that the bulk path or a snapshot made."""
        self._heap, self._records, self.too_late = heap, tuple(map(KeyTable, records)), too_late

    def save(self, path: Path, position: Position = NOWHERE) -> None:
        """Write a snapshot, whole or not at all; `position` says how far in which ledger it stands."""
        records = tuple(dict(known.items()) for known in self._records)
        head = _Head(self.catalogue.contract().hash, position, self.too_late, records)
        snapshot.write(path, msgspec.msgpack.encode(head), self._heap[: self._heap[0]])

    @staticmethod
    def load(path: Path, catalogue: Catalogue) -> State:
        """The state that `save` wrote; see `load_at`."""
        return State.load_at(path, catalogue)[0]

    @staticmethod
    def load_at(path: Path, catalogue: Catalogue) -> tuple[State, Position]:
        """The state that `save` wrote, and its position.

        Raises: BrokenState if it is not what `save` wrote, ContractMismatch if it was made with another catalogue,
        OSError if it cannot be read.
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
        return state, head.position


class _Head(msgspec.Struct):
    contract: str
    position: Position
    too_late: int
    records: tuple[dict[str, int], ...]
