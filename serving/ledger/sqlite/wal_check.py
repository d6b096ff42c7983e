"""Checks the WAL before SQLite opens it, and while the service runs.

SQLite verifies the checksums of the WAL only when it opens the ledger, and then drops the first damaged frame and all
commits after it without an error: the ledger is shorter without a word. Each frame's checksum continues that of
the frame before it, so every frame is compared on its own with the checksum that stands before it, and a frame behind
a damaged one still shows that it belongs to a commit.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
#: The first word of a WAL says in which byte order its checksums read the words.
_WORDS = {0x377F0682: np.dtype("<u4"), 0x377F0683: np.dtype(">u4")}
#: Frames whose checksums are computed at a time.
_PART = 1_024
#: A running service may be writing what is read: damage is what looks the same after this long, seconds.
STEADY_SECONDS = 0.05


class WalDamage(NamedTuple):
    """The first damaged frame, counted from 1 (0 is the header of the WAL), its page, and the frames SQLite drops."""

    frame: int
    page: int
    dropped: int

    def sentence(self) -> str:
        """What is damaged and what SQLite does about it."""
        where = f"at frame {self.frame:,} (page {self.page:,})" if self.frame else "in its header"
        return (
            f"The write-ahead log ledger.sqlite-wal is damaged {where}: SQLite reads no commit from there on, "
            f"{self.dropped:,} frames."
        )


def wal_damage(wal: Path) -> WalDamage | None:
    """The damage of a WAL that no process writes; None if every commit in it is read.

    What follows the last commit is no damage: a process that was killed leaves frames of a commit that no answer named.
    """
    if not wal.is_file() or wal.stat().st_size < HEADER_BYTES:
        return None
    bytes_ = np.memmap(wal, np.uint8, mode="r")
    header = bytes_[:HEADER_BYTES].copy()
    magic, _, page_bytes, _, *salts = map(int, header[:24].view(">u4"))
    words = _WORDS.get(magic)
    intact = words is not None and _is_valid(header, words)
    if not header.any() or (intact and page_bytes % 8):
        return None
    if not intact:
        page_bytes = 4_096
    frames = bytes_[HEADER_BYTES : len(bytes_) - (len(bytes_) - HEADER_BYTES) % (FRAME_HEADER_BYTES + page_bytes)]
    frames = frames.reshape(-1, FRAME_HEADER_BYTES + page_bytes)
    heads = np.ascontiguousarray(frames[:, :FRAME_HEADER_BYTES]).view(">u4")
    if not intact:
        own = np.all(heads[:, 2:4] == heads[:1, 2:4], axis=1) & bool(len(heads) and heads[0, 2:4].any())
        commits = np.flatnonzero(own & (heads[:, 1] != 0))
        return WalDamage(0, 0, int(commits[-1]) + 1) if len(commits) else None
    assert words is not None
    own = np.all(heads[:, 2:4] == np.array(salts, np.uint32), axis=1)
    count = int(np.flatnonzero(own)[-1]) + 1 if own.any() else 0
    before = np.vstack([header[24:].view(">u4"), heads[: max(0, count - 1), 4:6]])[:count]
    valid = own[:count] & _checksums_agree(frames[:count], before, heads[:count, 4:6], words)
    broken = np.flatnonzero(~valid)
    if not len(broken):
        return None
    first = int(broken[0])
    later = np.flatnonzero(valid[first:] & (heads[first:count, 1] != 0))
    return WalDamage(first + 1, int(heads[first, 0]), int(later[-1]) + 1) if len(later) else None


def steady_damage(wal: Path) -> WalDamage | None:
    """The damage of a WAL that a running service may be writing."""
    found = _damage_now(wal)
    if found is None:
        return None
    time.sleep(STEADY_SECONDS)
    return found if _damage_now(wal) == found else None


def _damage_now(wal: Path) -> WalDamage | None:
    try:
        return wal_damage(wal)
    except (FileNotFoundError, ValueError):  # truncated in this moment
        return None


def _is_valid(header: Any, words: np.dtype[Any]) -> bool:
    one, two = 0, 0
    for first, second in header[:24].view(words).reshape(-1, 2).tolist():
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return bool([one, two] == header[24:].view(">u4").tolist())


def _checksums_agree(frames: Any, before: Any, recorded: Any, words: np.dtype[Any]) -> Any:
    """Whether each frame's checksum is that of its page and of the checksum before it."""
    agree = np.zeros(len(frames), bool)
    if not len(frames):
        return agree
    weights, carry = _weights((frames.shape[1] - 16) // 8)
    for first in range(0, len(frames), _PART):
        part = frames[first : first + _PART]
        summed = np.concatenate([part[:, :8], part[:, FRAME_HEADER_BYTES:]], axis=1).view(words).astype(np.uint32)
        found = summed @ weights + before[first : first + _PART].astype(np.uint32) @ carry
        agree[first : first + _PART] = np.all(found == recorded[first : first + _PART], axis=1)
    return agree


@functools.cache
def _weights(pairs: int) -> tuple[Any, Any]:
    """What each word, and each half of the checksum before, adds to both halves of a checksum, modulo 2**32.

    One step of the checksum (https://sqlite.org/fileformat2.html#checksum_algorithm) is linear: the pair of words
    (x, y) makes of (s, t) the pair (s + t + x, s + 2t + x + y).
    """
    weights = np.zeros((2 * pairs, 2), np.uint32)
    a, b, c, d = 1, 0, 0, 1  # the product of the steps after the pair
    for pair in reversed(range(pairs)):
        weights[2 * pair] = (a + b) & 0xFFFFFFFF, (c + d) & 0xFFFFFFFF
        weights[2 * pair + 1] = b, d
        a, b, c, d = (a + b) & 0xFFFFFFFF, (a + 2 * b) & 0xFFFFFFFF, (c + d) & 0xFFFFFFFF, (c + 2 * d) & 0xFFFFFFFF
    return weights, np.array([[a, c], [b, d]], np.uint32)
