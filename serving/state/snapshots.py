"""Snapshots of the online state in `snapshots/`; a snapshot that cannot be verified is logged and skipped.

A snapshot only saves time. It belongs to one position in one ledger: the number in its name, the position inside it
and the event at that position must agree. With the state it holds what a start would otherwise read from all of the
ledger: `Rest`.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from features.catalogue.catalogue import Catalogue
from features.errors import BrokenState, RiskgateError
from features.state.memory import Position, State
from serving.ledger.head import digest_of
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.ledger import Ledger
from serving.state.fold import Fold

log = logging.getLogger("riskgate.snapshots")

_NAME = re.compile(r"state-([0-9]{12,18})\.state")
_REPAIR = "Delete it; the state is folded from the ledger."


class Rest(msgspec.Struct, frozen=True):
    """What a start needs besides the state; `set_aside` are sequence numbers, `profiles` and `ids` encoded."""

    verdict_seq: int
    profile_row: int
    set_aside: list[int]
    profiles: bytes
    ids: bytes | None


def save(fold: Fold, ledger: Ledger, folder: Path, seq: int | None = None) -> Path:
    """Write the state after event `seq`, the last one of a flushed ledger if None; keep this and the one before it.

    The ledger has learnt the ids of its payments, or the next start reads them all.
    Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob("state-*.partial"):  # of a process that was killed; first, because the disk may be full
        with contextlib.suppress(OSError):
            partial.unlink()
    position = position_of(ledger, ledger.last_seq() if seq is None else seq)
    path = folder / f"state-{position.seq:012d}.state"
    fold.state.save(path, position, msgspec.msgpack.encode(_rest_of(fold, ledger)))
    before = sorted(one for one in folder.glob("state-*.state") if one.name < path.name)
    for one in {*folder.glob("state-*.state")} - {path, *before[-1:]}:
        with contextlib.suppress(OSError):  # perhaps a folder, which is logged at each start
            one.unlink()
    return path


def _rest_of(fold: Fold, ledger: Ledger) -> Rest:
    named = [one.seq for one in fold.set_aside.named()]
    ids = None if ledger.ids is None else ledger.ids.encoded()
    return Rest(fold.verdict_seq, fold.profile_row, named, fold.profiles.encoded(), ids)


class Snapshot(NamedTuple):
    """A snapshot that was verified; `rest` is None in those of earlier releases."""

    state: State
    seq: int
    rest: Rest | None


def newest(folder: Path, ledger: LedgerReader, catalogue: Catalogue) -> Snapshot | None:
    """The newest complete snapshot of this ledger; None without one."""
    last_seq = ledger.last_seq()
    for path, seq in _found(folder):
        try:
            if seq > last_seq:
                raise BrokenState(f"It belongs to event {seq}, and the ledger ends at event {last_seq}.", _REPAIR)
            state, position, rest = State.load_at(path, catalogue)
            if position.seq != seq:
                raise BrokenState(f"It belongs to event {position.seq}, not to the one in its name.", _REPAIR)
            if position != position_of(ledger, seq):
                raise BrokenState(f"It belongs to another ledger: event {seq} of this one differs.", _REPAIR)
            return Snapshot(state, seq, msgspec.msgpack.decode(rest, type=Rest) if rest else None)
        except (RiskgateError, OSError, msgspec.DecodeError) as error:
            log.warning("snapshot %s is not used: %s", path.name, _sentence(error))
    return None


def _found(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every snapshot and the position in its name, newest first."""
    for path in sorted(folder.glob("state-*.state"), reverse=True):
        named = _NAME.fullmatch(path.name)
        if named is None:
            log.warning("snapshot %s is not used: Its name has no position. %s", path.name, _REPAIR)
        else:
            yield path, int(named[1])


def position_of(ledger: LedgerReader, seq: int) -> Position:
    """The position after event `seq` of this ledger; 0 is before the first."""
    event = ledger.event(seq)
    return Position(seq, "" if event is None else digest_of(event))


def _sentence(error: Exception) -> str:
    if isinstance(error, msgspec.DecodeError):
        return f"What it holds besides the state is of another release. {_REPAIR}"
    return f"It cannot be read: {error.strerror}." if isinstance(error, OSError) else str(error)
