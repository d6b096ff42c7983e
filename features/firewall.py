"""No clear card number gets in (law 7): any string with 13-19 digits in a row that pass the Luhn check.

Blanks and hyphens between digits, as people write card numbers, do not hide one. About one in ten random
numbers of that length passes the check too: identifiers should not be bare numbers of 13-19 digits.
"""

from __future__ import annotations

import re

_CANDIDATE = re.compile(r"(?<!\d)\d(?:[ \-]?\d){12,18}(?!\d)")
_BYTES_CANDIDATE = re.compile(rb"\d(?:[ \-]?\d){12}")


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
    """Whether a string carries what looks like a clear card number.

    >>> holds_card_number("card 4111 1111-1111 1111 please")
    True
    """
    return any(luhn(re.sub(r"[ \-]", "", m.group())) for m in _CANDIDATE.finditer(text))


def may_hold_card_number(body: bytes) -> bool:
    """A quick look at raw JSON: False means that no string in it can carry a card number.

    Escapes and characters beyond ASCII might hide digits: then the decoded strings must be looked at.
    """
    return _BYTES_CANDIDATE.search(body) is not None or b"\\" in body or not body.isascii()
