"""The header `traceparent` of W3C Trace Context (level 2, §3.2): read from a request, written into its reply."""

from __future__ import annotations

import random
import re

import msgspec

#: `sampled` and `random`; the other bits have no meaning yet and are sent as zero (§3.2.2.5).
_KNOWN_FLAGS = 0x03
# Version 00 ends after the flags; a later one may go on behind a hyphen (§3.2.2). Only lower case is hexadecimal here.
_PARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[\x20-\x7e]*)?"
)


class Trace(msgspec.Struct, frozen=True, gc=False):
    """One trace as this service takes part in it: the caller's trace id, our own span, and the flags passed on."""

    trace_id: str
    span_id: str
    flags: int

    def line(self) -> bytes:
        """The header line for the reply, with its line end."""
        return b"traceparent: %b\r\n" % self.value()

    def value(self) -> bytes:
        """The value of `traceparent`.

        >>> Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1).value()
        b'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
        """
        return b"00-%b-%b-%02x" % (self.trace_id.encode(), self.span_id.encode(), self.flags)


def trace_of(traceparent: bytes | None) -> Trace | None:
    """The trace that a caller's `traceparent` names, with a new span id; None for none and for one that is not valid.

    What is not valid is ignored, as the specification says (§4.3). A trace id is 32 hexadecimal digits, as a UUID is
    without its hyphens, and so it is never taken for a card number.

    >>> trace_of(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").trace_id
    '4bf92f3577b34da6a3ce929d0e0e4736'
    >>> trace_of(b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01") is None
    True
    """
    if traceparent is None:
        return None
    found = _PARENT.fullmatch(traceparent.strip(b" \t"))
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return Trace(found[2].decode(), f"{random.getrandbits(64) or 1:016x}", int(found[4], 16) & _KNOWN_FLAGS)
