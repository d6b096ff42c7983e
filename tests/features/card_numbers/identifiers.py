"""Random identifiers that are no card numbers, and the spellings of numbers that are.

`python -m tests.features.card_numbers.identifiers 1000000` counts how many of so many of each kind are touched.
"""

from __future__ import annotations

import re
import string
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from urllib.parse import quote

from features.card_numbers.issuers import luhn
from features.card_numbers.lookalikes import _IBAN
from features.intake.card_numbers import holds_card_number

_BASE_32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_OF_KIND = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}
_TWITTER_MS, _DISCORD_MS, _LAST_MS = 1_288_834_974_657, 1_420_070_400_000, 1_893_456_000_000
#: Before that a snowflake had fewer than 17 digits.
_YOUNGEST_MS = 10**10


def digits(random: Random, count: int) -> str:
    """So many random digits."""
    return "".join(random.choices(string.digits, k=count))


def completed(prefix: str) -> str:
    """A number with its check digit."""
    return next(prefix + digit for digit in string.digits if luhn(prefix + digit))


def imei(random: Random) -> str:
    """An IMEI: 15 digits with a check digit."""
    return completed(random.choice(("01", "35", "86", "98", "99")) + digits(random, 12))


def iban(random: Random) -> str:
    """An IBAN of any country with its check digits, in one piece or in groups of four."""
    country = random.choice(list(_IBAN))
    parts = re.findall(r"(\d+)([nac])", _IBAN[country])
    account = "".join("".join(random.choices(_OF_KIND[kind], k=int(count))) for count, kind in parts)
    check = 98 - int("".join(str(int(char, 36)) for char in account + country + "00")) % 97
    text = f"{country}{check:02d}{account}"
    return text if random.random() < 0.5 else " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def snowflake(random: Random) -> str:
    """An identifier of Twitter's or Discord's kind: milliseconds since the service began, and 22 bits."""
    began = random.choice((_TWITTER_MS, _DISCORD_MS))
    return str((random.randrange(_YOUNGEST_MS, _LAST_MS - began) << 22) | random.getrandbits(22))


def epoch(random: Random) -> str:
    """A moment of the years 2001 to 2032 in s, ms, µs or ns."""
    return str(random.randrange(10**18, 197 * 10**16) // random.choice((1, 10**3, 10**6, 10**9)))


def ulid(random: Random) -> str:
    """A ULID of the years 2017 to 2033."""
    number = (random.randrange(15 * 10**11, 2 * 10**12) << 80) | random.getrandbits(80)
    return "".join(_BASE_32[(number >> 5 * place) & 31] for place in range(25, -1, -1))


#: Of these none may be touched.
UNTOUCHED: dict[str, Callable[[Random], str]] = {
    "UUID": lambda random: str(uuid.UUID(int=random.getrandbits(128), version=4)),
    "UUID in capitals": lambda random: f"txn_{uuid.UUID(int=random.getrandbits(128))}".upper(),
    "UUID without hyphens": lambda random: uuid.UUID(int=random.getrandbits(128), version=4).hex,
    "IMEI": imei,
    "IBAN": iban,
    "epoch time": epoch,
    "snowflake": snowflake,
    "RRN": lambda random: digits(random, 12),
    "ULID": ulid,
    "SHA-1": lambda random: f"{random.getrandbits(160):040x}",
    "SHA-256": lambda random: f"0x{random.getrandbits(256):064x}",
    "object id": lambda random: f"{random.getrandbits(96):024x}",
    "IPv6 address": lambda random: ":".join(f"{random.getrandbits(16):04x}" for _ in range(8)),
}

#: Published test numbers of the networks.
CARDS = (
    "4111111111111111", "4917610000000010002", "5555555555554444", "2223003122003222", "378282246310005",
    "6011111111111117", "30569309025904", "36006666333344", "3530111333300000", "6521000000000007",
    "6205500000000000004", "6771798021000008", "2200000000000004", "9792030000000000",
)  # fmt: skip
_SEPARATORS = (
    " ", "  ", "   ", "-", " - ", ".", "_", "/", "·", ":", ",", "+", "*", "~", "\\", "\u00a0", "\u2009", "\u202f",
    "\u2013", "\u2014", "\u200b", "\u2060", "\ufeff", "\t", "\n", "–\u00a0–", ". ", "|", "#", "=",
)  # fmt: skip
_SCRIPTS = ("\uff10", "\u0660", "\u06f0", "\u0966", "\u09e6", "\u0be6", "\u0e50", "\U0001d7ce")


def groups(card: str) -> list[str]:
    """A number in the groups in which it is printed."""
    cuts = (0, 4, 10, len(card)) if len(card) < 16 else (0, 4, 8, 12, 16, 19)
    return [card[begin:end] for begin, end in pairwise(cuts) if card[begin:end]]


def spellings(card: str) -> Iterator[str]:
    """A number as people, programs and readers write it."""
    parts = groups(card)
    yield card
    for separator in _SEPARATORS:
        yield separator.join(parts)
    for zero in _SCRIPTS:
        table = {ord(digit): chr(ord(zero) + int(digit)) for digit in string.digits}
        yield card.translate(table)
        yield " ".join(parts).translate(table)
    spaced = " ".join(parts)
    yield from (f"card {card} of Asha", f"pan={card}", f"x{card}y", f"({spaced})", f"{card}, {card}", f"1 {spaced} 123")
    yield from (f"%B{card}^RAO/ASHA^26121010000000000000", f";{card}=26121010000000000000?", f'{{"pan": "{card}"}}')
    escaped = "".join(f"%{ord(digit):02X}" for digit in card)
    yield from (escaped, quote(escaped), f"card%20{card}%20", quote(spaced), "".join(f"\\u00{ord(d):x}" for d in card))
    yield "".join(f"{digit}\u200b" for digit in card)
    if len(card) in (15, 16):
        yield from (f"{card}1226", f"{card}2612", f"{card}2612101", f"id{card}0131")


def main() -> None:
    """Count what is touched."""
    count = int(sys.argv[1])
    kinds = UNTOUCHED | {"16 random digits": lambda random: digits(random, 16)}
    for kind, make in kinds.items():
        random, began = Random(20261111), time.perf_counter()
        touched = sum(holds_card_number(make(random)) for _ in range(count))
        seconds = time.perf_counter() - began
        sys.stdout.write(f"{kind:22} {touched:>8,} of {count:,} {touched / count:8.3%}  {seconds:.0f} s\n")


if __name__ == "__main__":
    main()
