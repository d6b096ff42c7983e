"""Detects clear card numbers (docs/design.md, law 7): 13-19 consecutive digits in a string that pass the Luhn check.

Blanks and dashes between digits do not hide a card number, nor do adjacent numbers. About one in ten random numbers
of that length passes the check too, so identifiers should not be bare numbers of 13-19 digits.
"""

from __future__ import annotations

import re

_GAP = r"[\s\-\u2010-\u2015]"
#: Groups of digits separated by at most two blanks or dashes, 13 digits or more in all.
_RUN = re.compile(rf"\d(?:{_GAP}{{0,2}}\d){{12,}}")
_GAPS = re.compile(rf"{_GAP}+")
_FEWEST, _MOST = 13, 19
#: Characters of one string that are scanned; longer strings are refused for their length.
_SCANNED = 4_096
#: Digits become 0 and all else x, so that a run of 13 digits is one search for a fixed text.
_DIGITS = bytes(48 if 48 <= byte <= 57 else 120 for byte in range(256))
_SHORTEST = b"0" * 13


def luhn(digits: str) -> bool:
    """Whether a string of digits passes the Luhn check (ISO/IEC 7812-1, annex B).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for i, char in enumerate(reversed(digits)):
        digit = int(char)
        if i % 2:
            digit = 2 * digit - 9 if digit > 4 else 2 * digit
        total += digit
    return total % 10 == 0


def holds_card_number(text: str) -> bool:
    """Whether a string contains what looks like a clear card number.

    >>> holds_card_number("card 4111 1111-1111 1111 please"), holds_card_number("2 x 4111111111111111 26 12")
    (True, True)
    """
    return any(_among(_GAPS.split(run.group())) for run in _RUN.finditer(text, 0, _SCANNED))


def _among(groups: list[str]) -> bool:
    """Whether adjacent groups of digits form a card number, possibly between other numbers."""
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > _MOST:
                break
            if len(digits) >= _FEWEST and luhn(digits):
                return True
    return False


def is_card_number(number: float) -> bool:
    """Whether a JSON number looks like a clear card number.

    The test is stricter than for strings: 15 to 19 digits that begin with a network's digit (2 to 6). Timestamps in
    milliseconds and microseconds have 13 and 16 digits, and one in ten would pass the Luhn check.

    >>> is_card_number(4111111111111111), is_card_number(4111111111111111.0), is_card_number(1794355203120)
    (True, True, False)
    """
    if not 2e14 <= number < 7e18 or number != int(number):
        return False
    digits = str(int(number))
    return digits[0] in "23456" and luhn(digits)


def may_hold_card_number(body: bytes) -> bool:
    """A quick test of raw JSON: False means that no string in it can contain a card number.

    Escapes and non-ASCII characters could hide digits, so they give True: the decoded strings must be scanned.
    """
    return _SHORTEST in body.translate(_DIGITS, b" -") or b"\\" in body or not body.isascii()
