"""The one spelling of a value that has several: what a caller means by it, without a word about it in the reply.

The same functions serve payments, reports, lists and histories, so that one value is one entity everywhere.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from unicodedata import is_normalized, normalize

from features.domain.countries import COUNTRIES

_OTHER_NAMES = {"UK": "GB"}
#: What systems write where they have no value (all zeros aside); compared in lower case. The last two are the UUID of
#: ones (RFC 9562) and the address that Android and iOS give in place of the device's own.
_SAY_NOTHING = frozenset((
    "unknown", "null", "none", "nil", "undefined", "nan", "n/a", "na", "#n/a", "(null)", "<null>", "(none)", "empty",
    "missing", "unavailable", "not available", "not_available", "not set", "not_set", "not sent", "not_sent",
    "ffffffff-ffff-ffff-ffff-ffffffffffff", "02:00:00:00:00:00",
))  # fmt: skip
_ZEROS = "0-:. _"
#: Longest text that is looked up: a device id of zeros has 64 hexadecimal digits and separators.
_LONGEST = 128
#: An address in brackets with an optional port, or an IPv4 address with one.
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?", re.ASCII)
_BETWEEN_WORDS = re.compile(r"[\s_\-\u2010-\u2015]+")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}", re.ASCII)


def are_plain(*texts: str) -> bool:
    """Whether all texts are printable ASCII of 1 to 128 characters, written as they are kept, and say something.

    >>> are_plain("t-1", "u-1042"), are_plain("t-1", " u-1042"), are_plain("t-1", "Unknown"), are_plain("a\\nb")
    (True, False, False, False)
    """
    for text in texts:
        if not (0 < len(text) <= _LONGEST and text.isascii() and text.isprintable()):
            return False
        if text[0] == " " or text[-1] == " " or (text[0] in _ZEROS and not text.strip(_ZEROS)):
            return False
    return _SAY_NOTHING.isdisjoint(map(str.lower, texts))


def says_nothing(text: str) -> bool:
    """Whether a text stands for "no value": all zeros, `unknown`, `null`, `N/A`, `-` and the like.

    >>> [says_nothing(one) for one in ("00000000-0000-0000-0000-000000000000", "N/A", "d-0", "nullable", "")]
    [True, True, False, False, False]
    """
    if text[:1] in _ZEROS and not text.strip(_ZEROS):
        return bool(text.strip())
    return text.lower() in _SAY_NOTHING


def plain_text(text: str) -> str:
    """A text in Unicode's composed form (NFC) without blanks around it.

    >>> plain_text(" u-1 "), plain_text("Jose\\u0301") == "Jos\\u00e9"
    ('u-1', True)
    """
    text = text.strip()
    return text if text.isascii() or is_normalized("NFC", text) else normalize("NFC", text)


def id_text(value: object) -> str | None:
    """The text of an id in a JSON value: a text as it is, a whole number in digits; None for anything else.

    >>> id_text("u-1"), id_text(1042), id_text(True), id_text(1.5)
    ('u-1', '1042', None, None)
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_LONGEST:
        return str(value)
    return value if isinstance(value, str) else None


def currency_word(text: str) -> str:
    """The ISO 4217 code that a text means.

    >>> currency_word(" usd")
    'USD'
    """
    return text.strip().upper()


def spelled_word(text: str) -> str:
    """A word of a vocabulary as it is written there: lower case, with underscores for blanks and hyphens.

    >>> spelled_word("SEPA Instant"), spelled_word(" sepa-instant "), spelled_word("In-App")
    ('sepa_instant', 'sepa_instant', 'in_app')
    """
    return _BETWEEN_WORDS.sub("_", text.strip().lower())


def country_word(text: str | None) -> str | None:
    """The ISO 3166-1 alpha-2 code that a text means, None for an empty one; whether it is one, `is_country` says.

    >>> country_word("in"), country_word("uk"), country_word("")
    ('IN', 'GB', None)
    """
    if text is None or not (word := text.strip().upper()):
        return None
    return _OTHER_NAMES.get(word, word)


def is_country(word: str) -> bool:
    """Whether a word is an officially assigned country code, or Kosovo's `XK`, which payment networks use.

    >>> is_country("IN"), is_country("T1")
    (True, False)
    """
    return word in COUNTRIES


def category_word(text: str) -> str | None:
    """The merchant category code (ISO 18245, four digits) that a text means; None if it means none.

    >>> category_word("742"), category_word("54 11")
    ('0742', None)
    """
    text = text.strip()
    return text.zfill(4) if text.isascii() and text.isdigit() and len(text) <= 4 else None


def address_word(text: str) -> str | None:
    """The canonical IPv4 or IPv6 address in a text; None if there is none.

    Port, brackets and zone are cut off, `::ffff:203.0.113.9` is the IPv4 address in it (RFC 4291, 2.5.5.2), and of a
    forwarded list the first one counts, which is the caller.

    >>> address_word("203.0.113.9:51234"), address_word("::ffff:203.0.113.9, 10.0.0.6"), address_word("fe80::1%eth0")
    ('203.0.113.9', '203.0.113.9', 'fe80::1')
    >>> address_word("[2001:DB8:0::1]:443"), address_word("1.2.3.4.")
    ('2001:db8::1', None)
    """
    text = text.partition(",")[0].strip()
    found = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    text = (found[1] if found else text).partition("%")[0]
    if not text.isascii():
        return None
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return str(address)


def number_of(value: object) -> float | None:
    """The number in a JSON value: a number, or a number as text; None for anything else and for NaN.

    A whole number beyond the largest float (JSON allows 311 digits) is infinite.

    >>> number_of("12.97"), number_of(10**400), number_of(True), number_of("x")
    (12.97, inf, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (len(value) > _LONGEST or "_" in value or not value.isascii()):
        return None
    try:
        number = float(value)
    except OverflowError:
        return float("inf") if isinstance(value, int) and value > 0 else float("-inf")
    except ValueError:
        return None
    return None if number != number else number
