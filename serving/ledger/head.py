"""Keeps in the folder of a ledger how far it once reached: a shorter ledger looks like a young one.

`ledger.head` holds the last event that was seen, and what was found missing since. `ledger.accepted` holds the findings
that an operator accepted (`python -m serving accept-ledger`). The recording process writes the one, the command the
other, so neither overwrites the other's file.
"""

from __future__ import annotations

import hashlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from serving.ledger.reader import Event, LedgerReader

HEAD, ACCEPTED = "ledger.head", "ledger.accepted"
COMMAND = "python -m serving accept-ledger"


class Head(msgspec.Struct, frozen=True):
    """The last event that a ledger held, the digest of that event, and findings in the order they were made."""

    seq: int = 0
    digest: str = ""
    found: tuple[str, ...] = ()


def digest_of(event: Event) -> str:
    """SHA-256 of an event with its sequence number, in hexadecimal."""
    return hashlib.sha256(msgspec.msgpack.encode(event)).hexdigest()


def read_head(folder: Path) -> Head:
    """The head kept in a folder; that of an empty ledger if none is kept. One that cannot be read is a finding."""
    path = folder / HEAD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return Head()
    except (OSError, msgspec.DecodeError):
        moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
        return Head(found=(f"{HEAD} could not be read on {moment}: what the ledger held before is not known.",))


def write_head(folder: Path, head: Head) -> None:
    """Replace the head, atomically.

    Raises: OSError.
    """
    _replace(folder / HEAD, head)


def compare(head: Head, ledger: LedgerReader, *, numbered: bool = True) -> str:
    """What a ledger lacks of its head, as a sentence; empty if it holds that event.

    `numbered` if sequence numbers have no gaps, so that their difference counts the events.
    """
    if not head.seq:
        return ""
    last = ledger.last_seq()
    name = f"{head.seq:,} (digest {head.digest[:12]})" if numbered else f"{head.seq} (digest {head.digest[:12]})"
    if last < head.seq:
        count = f": {_events(head.seq - last)} missing" if numbered else ""
        end = f"{last:,}" if numbered else str(last)
        return f"The ledger ends at event {end} and once ended at event {name}{count}."
    event = ledger.event(head.seq)
    if event is None:
        return f"The ledger no longer holds event {name}."
    found = digest_of(event)
    return "" if found == head.digest else f"The ledger holds another event {name}: its digest is {found[:12]} now."


def gap_sentence(first: int, last: int) -> str:
    """That events inside the ledger are missing."""
    if first == last:
        return f"Event {first:,} of the ledger is missing."
    return f"Events {first:,} to {last:,} of the ledger are missing: {_events(last - first + 1).split()[0]}."


def _events(count: int) -> str:
    return "1 event is" if count == 1 else f"{count:,} events are"


def advanced(head: Head, ledger: LedgerReader, *, numbered: bool = True) -> Head:
    """The head of a ledger as it is now, with what it lacks of the head before."""
    missing = compare(head, ledger, numbered=numbered)
    found = (*head.found, missing) if missing and missing not in head.found else head.found
    last = ledger.last_seq()
    event = ledger.event(last) if missing or last != head.seq else None
    if event is not None:
        return Head(event.seq, digest_of(event), found)
    return Head(0 if missing else head.seq, "" if missing else head.digest, found)


def accepted(folder: Path) -> dict[str, str]:
    """The findings that an operator accepted, with the time of that; none if the file cannot be read."""
    try:
        return msgspec.json.decode((folder / ACCEPTED).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def accept(folder: Path, findings: list[str]) -> None:
    """Accept findings, atomically.

    Raises: OSError.
    """
    moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    _replace(folder / ACCEPTED, dict.fromkeys(findings, moment) | accepted(folder))


def open_findings(folder: Path, ledger: LedgerReader, *, numbered: bool = True) -> list[str]:
    """The findings about a ledger that no operator has accepted, with what it lacks of its head at this moment."""
    head = read_head(folder)
    now = compare(head, ledger, numbered=numbered)
    known = accepted(folder)
    return [one for one in dict.fromkeys((*head.found, now)) if one and one not in known]


def _replace(path: Path, content: object) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    partial.replace(path)
