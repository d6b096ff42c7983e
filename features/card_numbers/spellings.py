"""The readings of a text in which digits are ASCII digits: as written, and with its escapes resolved."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

#: Percent-encoding (RFC 3986), and the escapes of JSON and JavaScript left in a text.
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+|[%\\]u[0-9A-Fa-f]{4}")
#: Escapes within escapes that are resolved: a link within a link has two.
_DEEPEST = 3


class Reading(NamedTuple):
    """A text with ASCII digits; character i stands at `starts[i]` to `ends[i]` of the text as sent (None: at i)."""

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of this reading stands in the text as sent."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def readings_of(text: str) -> Iterator[Reading]:
    """The text as written, then with one more level of its escapes resolved each time.

    >>> [one.text for one in readings_of("%34\\uff11")]
    ['%341', '41']
    """
    reading = _plain(Reading(text))
    yield reading
    for _ in range(_DEEPEST):
        if "%" not in reading.text and "\\" not in reading.text:
            return
        resolved = _resolved(reading)
        if resolved is None:
            return
        reading = _plain(resolved)
        yield reading


def _plain(reading: Reading) -> Reading:
    """Digits of every script as ASCII digits, and characters that nobody sees (Unicode category Cf) left out."""
    if reading.text.isascii():
        return reading
    chars, starts, ends = [], [], []
    for place, char in enumerate(reading.text):
        if char > "\x7f":
            if unicodedata.category(char) == "Cf":
                continue
            digit = unicodedata.digit(char, None)
            char = char if digit is None else str(digit)
        start, end = reading.span(place, place + 1)
        chars.append(char)
        starts.append(start)
        ends.append(end)
    return Reading("".join(chars), starts, ends)


def _resolved(reading: Reading) -> Reading | None:
    """With one level of escapes resolved; None if there are none."""
    text, last = reading.text, 0
    chars, places = list[str](), list[tuple[int, int]]()
    for found in _ESCAPES.finditer(text):
        begin, escape = found.start(), found.group()
        chars += text[last:begin]
        places += [(place, place + 1) for place in range(last, begin)]
        last = found.end()
        if escape[1] == "u":
            chars.append(chr(int(escape[2:], 16)))
            places.append((begin, last))
            continue
        for char in bytes.fromhex(escape.replace("%", "")).decode(errors="surrogateescape"):
            end = begin + 3 * len(char.encode(errors="surrogateescape"))
            chars.append(char)
            places.append((begin, end))
            begin = end
    if not last:
        return None
    chars += text[last:]
    places += [(place, place + 1) for place in range(last, len(text))]
    spans = [reading.span(*place) for place in places]
    return Reading("".join(chars), [start for start, _ in spans], [end for _, end in spans])
