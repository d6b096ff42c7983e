"""Variable-length integers (LEB128, zigzag for signed ones, as in Protocol Buffers) in byte arrays; compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.jit import compiled

Bytes = npt.NDArray[np.uint8]

WORD_BYTES = 8


@compiled
def write_varint(out: Bytes, at: int, value: int) -> int:
    """Write a non-negative number (or 64 bits) in 7-bit groups, lowest first; the place after it."""
    while value & ~0x7F != 0:
        out[at] = (value & 0x7F) | 0x80
        value = (value >> 7) & 0x01FFFFFFFFFFFFFF
        at += 1
    out[at] = value
    return at + 1


@compiled
def write_signed(out: Bytes, at: int, value: int) -> int:
    """Write a number of either sign; the place after it."""
    return write_varint(out, at, (value << 1) ^ (value >> 63))


@compiled
def read_varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """(number, place after it); the place is -1 when the bytes end before the number does."""
    value, shift = 0, 0
    while at >= 0 and at < end and shift < 64:
        byte = int(data[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, -1


@compiled
def read_signed(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """(number of either sign, place after it), -1 as in `read_varint`."""
    value, at = read_varint(data, at, end)
    return ((value >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(value & 1), at


@compiled
def read_word(data: Bytes, at: int) -> int:
    """A 64-bit little-endian number."""
    value = 0
    for i in range(WORD_BYTES):
        value |= int(data[at + i]) << (8 * i)
    return value
