"""Lossless compression of feature vectors to about a quarter: most values are small, missing or repeated.

Vectors are the largest part of the ledger, the stream and their copies. One code per value, in the order of columns:

    00-7F  the integer 0 to 127                      C1     the previous value (0 before the first)
    80-BF  14 bits with the next byte: 128 to 16383  C2     the previous value, repeated next-byte times
    C0     missing (the usual NaN)                    C3-CA  the 1 to 8 upper bytes of the float64; the rest is zero
    CB     padding                                   CC-FF  the literal of C3-CA that came 1 to 52 such codes ago

A vector that would not become shorter stays float64, little endian, as all vectors of older ledgers are. Padding keeps
the length of compressed vectors off multiples of eight, which tells the two forms apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from features.jit import compiled

Vector = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_MISSING = np.uint64(0x7FF8 << 48)
_NOTHING, _EIGHT, _TOP = np.uint64(0), np.uint64(8), np.uint64(56)
_SIGN = np.uint64(63)
#: Codes.
_MIDDLE, _NAN, _SAME, _RUN, _RAW, _PAD, _AGAIN = 0x80, 0xC0, 0xC1, 0xC2, 0xC3, 0xCB, 0xCC
_BACK = 0x100 - _AGAIN
_LONGEST_RUN = 255


@compiled
def pack(values: Vector, bits: Bits, literals: Bits, out: Bytes) -> int:
    """Write the codes of `values` (whose bits are `bits`) to `out`; their length, -1 if that is no shorter.

    literals: scratch, as long as values.
    """
    length, count, before, at = 0, 0, _NOTHING, 0
    while at < bits.size:
        if length + 10 > 8 * bits.size:
            return -1
        word = bits[at]
        if word == before:
            run = 1
            while at + run < bits.size and bits[at + run] == before and run < _LONGEST_RUN:
                run += 1
            at += run
            if run == 1:
                out[length] = _SAME
                length += 1
            else:
                out[length], out[length + 1] = _RUN, run
                length += 2
            continue
        at += 1
        before = word
        if word == _MISSING:
            out[length] = _NAN
            length += 1
            continue
        value = values[at - 1]
        if not word >> _SIGN and 0.0 <= value < 16384.0 and value == np.floor(value):
            whole = int(value)
            if whole < 128:
                out[length] = whole
                length += 1
            else:
                out[length], out[length + 1] = _MIDDLE | whole >> 8, whole & 0xFF
                length += 2
            continue
        back = 1
        while back <= _BACK and back <= count and literals[count - back] != word:
            back += 1
        if back <= _BACK and back <= count:
            out[length] = _AGAIN + back - 1
            length += 1
            continue
        literals[count] = word
        count += 1
        head, size = length, 0
        length += 1
        rest = word
        while rest != _NOTHING or size == 0:
            out[length] = rest >> _TOP
            rest <<= _EIGHT
            length += 1
            size += 1
        out[head] = _RAW + size - 1
    return length


@compiled
def unpack(data: Bytes, literals: Bits, out: Bits) -> int:
    """Read codes into `out`; the number of values, -1 for invalid bytes.

    literals: scratch, as long as `out`.
    """
    count, before, at, n = 0, _NOTHING, 0, 0
    while at < data.size:
        code, run = int(data[at]), 1
        at += 1
        if code < _NAN or code == _RUN:
            if code >= _MIDDLE:
                if at == data.size:
                    return -1
                low = int(data[at])
                at += 1
                if code == _RUN:
                    run = low
                else:
                    before = np.float64((code & 0x3F) << 8 | low).view(np.uint64)
            else:
                before = np.float64(code).view(np.uint64)
        elif code == _NAN:
            before = _MISSING
        elif code >= _AGAIN:
            back = code - _AGAIN + 1
            if back > count:
                return -1
            before = literals[count - back]
        elif code == _PAD:
            run = 0
        elif code >= _RAW:
            size = code - _RAW + 1
            if at + size > data.size:
                return -1
            before = _NOTHING
            for place in range(size):
                before |= np.uint64(data[at + place]) << np.uint64(56 - 8 * place)
            at += size
            if count < literals.size:
                literals[count] = before
            count += 1
        if n + run > out.size:
            return -1
        for _ in range(run):
            out[n] = before
            n += 1
    return n


def vector_bytes(vector: Vector) -> bytes:
    """Encode a vector, float64[columns]."""
    room, literals = np.empty(8 * vector.size + 2, np.uint8), np.empty(vector.size, np.uint64)
    length = pack(vector, vector.view(np.uint64), literals, room)
    if length < 0:
        return vector.astype("<f8", copy=False).tobytes()
    if length % 8 == 0:
        room[length] = _PAD
        length += 1
    return room[:length].tobytes()


#: More columns than any catalogue has.
_WIDEST = 1 << 13


def vector_from(data: bytes) -> Vector:
    """Decode a vector, float64[columns], bit for bit.

    Raises: ValueError for invalid bytes.
    """
    if len(data) % 8 == 0:
        return np.frombuffer(data, "<f8")
    out, literals = np.empty(_WIDEST, np.uint64), np.empty(_WIDEST, np.uint64)
    count: Any = unpack(np.frombuffer(data, np.uint8), literals, out)
    if count < 0:
        raise ValueError("The vector of a receipt cannot be read: its bytes were changed.")
    return out[:count].view(np.float64)
