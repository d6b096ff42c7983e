"""The decisions of an outbox as a file: they survive the process, and need no memory during a long outage.

Each worker appends to a file of its own in `outbox/` and empties it when Redis has everything. A file whose worker is
gone is adopted by another one: recording a decision that Redis knows already changes nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from features.domain.payment import Payment
from features.intake.parse import stored_payment
from features.state.remote import Entry
from serving.decision.decider import Decided

log = logging.getLogger("riskgate.outbox")

#: Before each decision: the length and the CRC-32 of its bytes.
_HEAD = struct.Struct("<II")
_LARGEST_BYTES = 1 << 24


class PendingDecision(msgspec.Struct, frozen=True):
    """A decision to record; `payment_id` is the stream id of the payment if it is known to be admitted."""

    payment: Payment
    content: bytes
    digest: bytes
    entry: Entry
    decided: Decided
    arrival_ms: int
    payment_id: bytes = b""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What a file keeps of a pending decision; the rest follows from the payment."""

    content: bytes
    digest: bytes
    decided: Decided
    arrival_ms: int
    payment_id: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


class Journal:
    """One file of pending decisions, locked by the process that uses it."""

    def __init__(self, path: Path, entry_of: Callable[[Payment], Entry]) -> None:
        """Open or create the file; `entry_of` prepares a payment for Redis.

        Raises: BlockingIOError if another process uses it, OSError.
        """
        self.path, self._entry_of = path, entry_of
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise
        self._end = self._file.seek(0, os.SEEK_END)

    def append(self, one: PendingDecision) -> int:
        """Write a decision behind the others; its place in the file.

        Raises: OSError; then the file is as before.
        """
        body = _encode(_Kept(one.content, one.digest, one.decided, one.arrival_ms, one.payment_id))
        place, data = self._end, _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            written = os.pwrite(self._file.fileno(), data, place)
            if written < len(data):
                raise OSError("the disk took a part of a decision only")
        except OSError:
            os.ftruncate(self._file.fileno(), place)
            raise
        self._end = place + len(data)
        return place

    def read(self, place: int) -> PendingDecision:
        """The decision at a place.

        Raises: ValueError if its bytes are damaged.
        """
        return self._read(place)[0]

    def _read(self, place: int) -> tuple[PendingDecision, int]:
        head = os.pread(self._file.fileno(), _HEAD.size, place)
        if len(head) < _HEAD.size:
            raise ValueError("its length is cut off")
        length, check = _HEAD.unpack(head)
        body = os.pread(self._file.fileno(), length, place + _HEAD.size) if length <= _LARGEST_BYTES else b""
        if len(body) < length or zlib.crc32(body) != check or not body:
            raise ValueError("its bytes are cut off or damaged")
        try:
            kept = _decode(body)
            payment = stored_payment(kept.content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError("it was written by another release") from error
        one = PendingDecision(
            payment, kept.content, kept.digest, self._entry_of(payment), kept.decided, kept.arrival_ms, kept.payment_id
        )
        return one, place + _HEAD.size + length

    def decisions(self) -> Iterator[PendingDecision]:
        """Every decision; what follows a damaged one is kept aside in a file of its own."""
        place = 0
        while place < self._end:
            try:
                one, after = self._read(place)
            except ValueError as error:
                self._set_aside(place, str(error))
                return
            yield one
            place = after

    def _set_aside(self, place: int, why: str) -> None:
        rest = os.pread(self._file.fileno(), self._end - place, place)
        aside = self.path.with_suffix(f".{time.time_ns()}.damaged")
        aside.write_bytes(rest)
        log.error(
            "%s holds a decision that cannot be read at byte %d: %s. The decisions before it are recorded; it and what "
            "follows it (%d bytes) are kept in %s. The host or its disk failed while it was written: nothing to repair "
            "in the service.", self.path.name, place, why, len(rest), aside.name,
        )  # fmt: skip
        os.ftruncate(self._file.fileno(), place)
        self._end = place

    def empty(self) -> None:
        """Forget every decision: Redis has them."""
        if self._end:
            os.ftruncate(self._file.fileno(), 0)
            self._end = 0

    def close(self) -> None:
        """Close the file, and delete it if nothing is left in it."""
        if not self._end:
            self.path.unlink(missing_ok=True)
        self._file.close()


def abandoned(folder: Path, entry_of: Callable[[Payment], Entry]) -> Iterator[Journal]:
    """The files of workers that are gone."""
    for path in sorted(folder.glob("*.pending")):
        try:
            yield Journal(path, entry_of)
        except BlockingIOError:
            continue
        except OSError as error:
            log.error("%s cannot be read: %s. Its decisions are not recorded yet.", path.name, error.strerror)
