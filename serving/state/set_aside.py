"""Events that cannot be folded: left out of the state, counted, and reported without their values."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from serving.ledger.reader import Event, LedgerReader

log = logging.getLogger("riskgate.ledger")

#: Beyond so many, events are counted and no longer reported one by one.
MOST_NAMED = 1_000
#: Sequence numbers in one sentence.
MOST_IN_A_SENTENCE = 5
_FILE = "set-aside.json"


class SetAsideEvent(NamedTuple):
    """One event that is set aside, and why."""

    seq: int
    kind: str
    transaction_id: str
    reason: str

    def sentence(self) -> str:
        """The event and the reason as a sentence."""
        about = f", transaction {self.transaction_id}" if self.transaction_id else ""
        return f"event {self.seq} ({self.kind}{about}) cannot be folded and is set aside: {self.reason}"


class SetAside:
    """The events of one fold that are set aside."""

    def __init__(self) -> None:
        self.count = 0
        self._named: dict[int, SetAsideEvent] = {}

    def add(self, event: Event, reason: str) -> None:
        """Add one event; idempotent."""
        if event.seq in self._named:
            return
        self.count += 1
        if len(self._named) < MOST_NAMED:
            # Both may hold anything that was written by hand: reduced to one line of ASCII.
            kind, transaction_id = ascii(event.kind).strip("'"), ascii(event.transaction_id).strip("'")
            self._named[event.seq] = SetAsideEvent(event.seq, kind[:40], transaction_id[:160], reason)

    def __contains__(self, seq: int) -> bool:
        return seq in self._named

    def named(self) -> list[SetAsideEvent]:
        """The first of them, in the order of the ledger."""
        return [self._named[seq] for seq in sorted(self._named)]

    def note(self) -> str:
        """One sentence for `/readyz`, with neither transactions nor values; empty when there is none."""
        return note_of(self.count, sorted(self._named))

    def write_log(self) -> None:
        """Log each of them."""
        for one in self.named():
            log.error("%s", one.sentence())
        if self.count > len(self._named):
            log.error("%d more events are set aside", self.count - len(self._named))


class SharedSetAside(msgspec.Struct):
    """The summary in Redis for all workers: how many events were set aside, and the first sequence numbers."""

    count: int = 0
    seqs: list[int] = []

    def note(self) -> str:
        """As `SetAside.note`."""
        return note_of(self.count, self.seqs)


def encode_shared(aside: SetAside) -> bytes:
    """The summary of a fold as bytes for Redis."""
    return msgspec.json.encode(SharedSetAside(aside.count, [one.seq for one in aside.named()[:MOST_IN_A_SENTENCE]]))


def decode_shared(value: bytes | None) -> SharedSetAside:
    """The summary from Redis; empty if there is none."""
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(value or b"{}", type=SharedSetAside)
    return SharedSetAside()


def note_of(count: int, seqs: Iterable[int]) -> str:
    """How many events are set aside, and the first sequence numbers; empty when there is none."""
    if not count:
        return ""
    first = ", ".join(str(seq) for seq in list(seqs)[:MOST_IN_A_SENTENCE])
    events = "1 event of the ledger" if count == 1 else f"{count} events of the ledger"
    more = ", ..." if count > MOST_IN_A_SENTENCE else ""
    return f"{events} cannot be folded and changed nothing (seq {first}{more}); python -m serving verify names each."


def save_seqs(folder: Path, aside: SetAside) -> None:
    """Save the sequence numbers next to the ledger: a start from a snapshot does not read the earlier events."""
    path = folder / _FILE
    seqs = [one.seq for one in aside.named()]
    if seqs == _seqs(path):
        return
    with contextlib.suppress(OSError):  # only a hint: without it the next start reports fewer
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(seqs))
        partial.replace(path)


def saved_events(folder: Path, ledger: LedgerReader, until_seq: int, in_snapshot: Iterable[int] = ()) -> list[Event]:
    """The events up to `until_seq` that the last fold of the ledger, or that of the snapshot, set aside."""
    seqs = sorted({*_seqs(folder / _FILE), *in_snapshot})
    events = (ledger.event(seq) for seq in seqs if seq <= until_seq)
    return [event for event in events if event is not None and event.seq <= until_seq]


def _seqs(path: Path) -> list[int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[int])
    except (OSError, msgspec.DecodeError):
        return []
