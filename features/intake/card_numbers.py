"""Finds clear card numbers (docs/design.md, law 7) in texts, JSON numbers and, quickly, in the bytes of a request.

A card number is a whole run of digits of an issuer's length that begins with the issuer's range and passes the Luhn
check; or such a number in groups of 4-4-4-4(-3), 4-6-5 (or, as programs cut it, 4-4-4-3) or 4-6-4 with up to three
other characters between them; or such a number at the start of a longer run, with its expiry date (MMYY or YYMM) behind
it. Letters beside a run do not hide it. What only looks like one is listed in features/card_numbers/lookalikes.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from features.card_numbers.issuers import LONGEST, SHORTEST, lengths_of, luhn
from features.card_numbers.lookalikes import lookalikes_in
from features.card_numbers.spellings import Reading, readings_of

__all__ = [
    "CardNumber", "card_numbers_in", "holds_card_number", "is_card_number", "luhn", "mask_card_numbers",
    "may_hold_card_number",
]  # fmt: skip

_RUN = re.compile(r"[0-9]+")
#: Fourteen digits, four of them together, with gaps as they stand between groups: without them there is no number.
_ENOUGH = re.compile(r"[0-9]{4}(?:[\W_]{0,3}+[0-9]){10}")
_ENOUGH_BYTES = re.compile(_ENOUGH.pattern.encode())
#: Where the groups of a number of that length may end.
_GROUPS = {14: {4, 10}, 15: {4, 8, 10, 12}, 16: {4, 8, 12}, 19: {4, 8, 12, 16}}
_MOST_GROUPS, _WIDEST_GAP = 5, 3
#: Years of an expiry date.
_FIRST_YEAR, _LAST_YEAR = 20, 45
#: A longer run has this many digits or more: 17 and 18 are those of a snowflake.
_SHORTEST_WITH_EXPIRY = 19
#: A JSON number that ends with more zeros is a round amount.
_MOST_ZEROS = 4
_LARGEST_NUMBER = 10**30

#: Digits become 0, what could hide digits !, the sign of an exponent e, and all else x: then a run of digits is one
#: search for a fixed text.
_KINDS = bytes(
    48 if 48 <= byte <= 57 else 33 if byte > 127 or byte in b"\\%" else 101 if byte in b"eE" else 120
    for byte in range(256)
)
_PUNCTUATION = bytes(byte for byte in range(128) if not chr(byte).isalnum() and byte not in b"\\%")
#: What the shortest card number leaves of itself when it is written with an exponent.
_WITH_EXPONENT = b"0" * (SHORTEST - _MOST_ZEROS) + b"e"
_EXPONENT = re.compile(rb"[0-9][0-9.]{%d,}[eE][+-]?[0-9]" % (SHORTEST - _MOST_ZEROS - 1))
_UNBROKEN = b"0" * SHORTEST


class CardNumber(NamedTuple):
    """A clear card number in a text: `text[start:end]` with the expiry date glued to it, and its digits in ASCII."""

    start: int
    end: int
    digits: str


def card_numbers_in(text: str) -> list[CardNumber]:
    """The clear card numbers of a text in their order; takes as long as the text is long.

    >>> card_numbers_in("card 4111 1111-1111 1111 please")
    [CardNumber(start=5, end=24, digits='4111111111111111')]
    """
    found: list[CardNumber] = []
    # The innermost reading first: an escape within an escape is digits between percent signs, as groups are.
    for reading in reversed(list(readings_of(text))):
        if _ENOUGH.search(reading.text) is not None:
            taken = [(one.start, one.end) for one in found]
            found += [one for one in _in_reading(reading) if not _overlap(one, taken)]
    return sorted(found)


def holds_card_number(text: str) -> bool:
    """Whether a text contains what looks like a clear card number.

    >>> holds_card_number("2 x 4111111111111111 26 12"), holds_card_number("357110665803512")
    (True, False)
    """
    return bool(card_numbers_in(text))


def mask_card_numbers(text: str) -> str:
    """The text with asterisks in place of each card number: for messages where no key for tokens is at hand.

    >>> mask_card_numbers("blocked-4111111111111111.csv")
    'blocked-****************.csv'
    """
    for number in reversed(card_numbers_in(text)):
        text = text[: number.start] + "*" * (number.end - number.start) + text[number.end :]
    return text


def is_card_number(number: float) -> bool:
    """Whether a JSON number looks like a clear card number.

    >>> is_card_number(4111111111111111), is_card_number(4111111111111111.0), is_card_number(1794355203120)
    (True, True, False)
    """
    number = abs(number)
    if not 10 ** (SHORTEST - 1) <= number < _LARGEST_NUMBER or number != int(number):
        return False
    digits = str(int(number))
    return len(digits) - len(digits.rstrip("0")) <= _MOST_ZEROS and holds_card_number(digits)


def may_hold_card_number(body: bytes) -> bool:
    """A quick test of raw JSON: False means that no string and no number in it is a clear card number.

    Escapes and non-ASCII characters could hide digits, so they give True: the decoded strings must be scanned.
    """
    kinds = body.translate(_KINDS, _PUNCTUATION)
    if b"!" in kinds:
        return True
    # The strings of such a body are parts of it, and what is found in a part is found in the whole.
    if _UNBROKEN in kinds and _ENOUGH_BYTES.search(body) is not None:
        return True
    return _WITH_EXPONENT in kinds and _EXPONENT.search(body) is not None


def _overlap(number: CardNumber, spans: Iterable[tuple[int, int]]) -> bool:
    return any(number.start < end and start < number.end for start, end in spans)


def _in_reading(reading: Reading) -> list[CardNumber]:
    text, found = reading.text, list[CardNumber]()
    runs = [run.span() for run in _RUN.finditer(text)]
    others: list[tuple[int, int]] | None = None
    free_from = 0
    for first, (start, _) in enumerate(runs):
        numbers = _numbers_at(text, runs, first) if start >= free_from else []
        if numbers and others is None:
            others = lookalikes_in(text)
        for number in numbers:
            if not _overlap(number, others or ()):
                free_from = number.end
                found.append(CardNumber(*reading.span(number.start, number.end), number.digits))
                break
    return found


def _numbers_at(text: str, runs: list[tuple[int, int]], first: int) -> list[CardNumber]:
    """The card numbers that begin with a run of digits, the one of the issuer's likeliest length first."""
    digits, last, ends = "", 0, set[int]()
    candidates: list[tuple[int, CardNumber]] = []
    for start, end in runs[first : first + _MOST_GROUPS]:
        before = len(digits)
        if before:
            if start - last > _WIDEST_GAP or any(char.isalnum() for char in text[last:start]):
                break
            ends.add(before)
        last = end
        digits += text[start:end]
        if len(digits) < SHORTEST:
            continue
        for rank, length in enumerate(lengths_of(digits)):
            if before < length <= len(digits) and ends <= _GROUPS[length]:
                rest = digits[length:]
                if (not rest or _is_expiry(rest, len(digits))) and luhn(digits[:length]):
                    candidates.append((rank, CardNumber(runs[first][0], end, digits[:length])))
        if len(digits) >= LONGEST:
            break
    return [number for _, number in sorted(candidates)]


def _is_expiry(rest: str, digits: int) -> bool:
    """Whether what stands behind a number in the same run begins with an expiry date; `digits` counts all of the run.

    >>> _is_expiry("1226", 20), _is_expiry("2612123", 23), _is_expiry("5555", 20)
    (True, True, False)
    """
    if digits < _SHORTEST_WITH_EXPIRY or len(rest) < 4:
        return False
    one, two = int(rest[:2]), int(rest[2:4])
    return any(1 <= month <= 12 and _FIRST_YEAR <= year <= _LAST_YEAR for month, year in ((one, two), (two, one)))
