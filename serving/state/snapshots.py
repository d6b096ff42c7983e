"""Snapshots of the online state in `snapshots/`; a snapshot that cannot be verified is logged and skipped.

A snapshot only saves time. It belongs to one position in one ledger: the number in its name, the position inside it
and the event at that position must agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from features.catalogue.catalogue import Catalogue
from features.errors import BrokenState, RiskgateError
from features.state.memory import Position, State
from serving.ledger.reader import LedgerReader

log = logging.getLogger("riskgate.snapshots")

_NAME = re.compile(r"state-([0-9]{12,18})\.state")
_REPAIR = "Delete it; the state is folded from the ledger."


def save(state: State, ledger: LedgerReader, folder: Path) -> Path:
    """Write the state after the last event of a flushed ledger; keep this snapshot and the one before it.

    Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    position = position_of(ledger, ledger.last_seq())
    path = folder / f"state-{position.seq:012d}.state"
    state.save(path, position)
    before = sorted(one for one in folder.glob("state-*.state") if one.name < path.name)
    for one in {*folder.glob("state-*.state"), *folder.glob("state-*.partial")} - {path, *before[-1:]}:
        with contextlib.suppress(OSError):  # perhaps a folder, which is logged at each start
            one.unlink()
    return path


def newest(folder: Path, ledger: LedgerReader, catalogue: Catalogue) -> tuple[State, int] | None:
    """The state and position of the newest complete snapshot of this ledger; None without one."""
    last_seq = ledger.last_seq()
    for path, seq in _found(folder):
        try:
            if seq > last_seq:
                raise BrokenState(f"It belongs to event {seq}, and the ledger ends at event {last_seq}.", _REPAIR)
            state, position = State.load_at(path, catalogue)
            if position.seq != seq:
                raise BrokenState(f"It belongs to event {position.seq}, not to the one in its name.", _REPAIR)
            if position != position_of(ledger, seq):
                raise BrokenState(f"It belongs to another ledger: event {seq} of this one differs.", _REPAIR)
        except (RiskgateError, OSError) as error:
            log.warning("snapshot %s is not used: %s", path.name, _sentence(error))
        else:
            return state, seq
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
    return Position(seq, "" if event is None else hashlib.sha256(msgspec.msgpack.encode(event)).hexdigest())


def _sentence(error: Exception) -> str:
    return f"It cannot be read: {error.strerror}." if isinstance(error, OSError) else str(error)
