"""Events that cannot be folded: left out of the state, counted, and named without any value of theirs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from serving.ledger.reader import Event, LedgerReading

log = logging.getLogger("riskgate.ledger")

#: Beyond so many, events are counted and no longer named one by one.
MOST_NAMED = 1_000
#: So many numbers stand in a sentence.
MOST_IN_A_SENTENCE = 5
_FILE = "set-aside.json"


class Aside(NamedTuple):
    """One event that is set aside, and why."""

    seq: int
    kind: str
    transaction_id: str
    reason: str

    def sentence(self) -> str:
        """The event and the reason in words."""
        about = f", transaction {self.transaction_id}" if self.transaction_id else ""
        return f"event {self.seq} ({self.kind}{about}) cannot be folded and is set aside: {self.reason}"


class SetAside:
    """The events of one fold that are set aside."""

    def __init__(self) -> None:
        self.count = 0
        self._named: dict[int, Aside] = {}

    def add(self, event: Event, reason: str) -> None:
        """Take note of one event; the same again changes nothing."""
        if event.seq in self._named:
            return
        self.count += 1
        if len(self._named) < MOST_NAMED:
            # Both may be anything that a hand wrote: one line of plain characters.
            kind, transaction_id = ascii(event.kind).strip("'"), ascii(event.transaction_id).strip("'")
            self._named[event.seq] = Aside(event.seq, kind[:40], transaction_id[:160], reason)

    def __contains__(self, seq: int) -> bool:
        return seq in self._named

    def named(self) -> list[Aside]:
        """The first of them, in the order of the ledger."""
        return [self._named[seq] for seq in sorted(self._named)]

    def note(self) -> str:
        """One sentence for `/readyz`, with neither transactions nor values; empty when there is none."""
        return note_of(self.count, sorted(self._named))

    def tell(self) -> None:
        """Name each of them in the log."""
        for one in self.named():
            log.error("%s", one.sentence())
        if self.count > len(self._named):
            log.error("%d more events are set aside", self.count - len(self._named))


class SetAsideThere(msgspec.Struct):
    """What the workers of a shared state know of it: how many events were set aside, and the first numbers."""

    count: int = 0
    seqs: list[int] = []

    def note(self) -> str:
        """As `SetAside.note`."""
        return note_of(self.count, self.seqs)


def encode_there(aside: SetAside) -> bytes:
    """What `decode_there` reads."""
    return msgspec.json.encode(SetAsideThere(aside.count, [one.seq for one in aside.named()[:MOST_IN_A_SENTENCE]]))


def decode_there(value: bytes | None) -> SetAsideThere:
    """What was set aside when a shared state was built; nothing when that is not known."""
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(value or b"{}", type=SetAsideThere)
    return SetAsideThere()


def note_of(count: int, seqs: Iterable[int]) -> str:
    """How many events are set aside, and the numbers of the first; empty when there is none."""
    if not count:
        return ""
    first = ", ".join(str(seq) for seq in list(seqs)[:MOST_IN_A_SENTENCE])
    events = "1 event of the ledger" if count == 1 else f"{count} events of the ledger"
    more = ", ..." if count > MOST_IN_A_SENTENCE else ""
    return f"{events} cannot be folded and changed nothing (seq {first}{more}); python -m serving verify names each."


def remember(folder: Path, aside: SetAside) -> None:
    """Keep the numbers beside the ledger: a start from a snapshot does not walk over what stands before it."""
    path = folder / _FILE
    seqs = [one.seq for one in aside.named()]
    if seqs == _seqs(path):
        return
    with contextlib.suppress(OSError):  # only a hint: without it the next start names fewer
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(seqs))
        partial.replace(path)


def remembered(folder: Path, ledger: LedgerReading, until_seq: int) -> list[Event]:
    """The events up to `until_seq` that were set aside when the ledger was last folded."""
    events = (next(ledger.walk(seq - 1), None) for seq in _seqs(folder / _FILE) if seq <= until_seq)
    return [event for event in events if event is not None and event.seq <= until_seq]


def _seqs(path: Path) -> list[int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[int])
    except (OSError, msgspec.DecodeError):
        return []
