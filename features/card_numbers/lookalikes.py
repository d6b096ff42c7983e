"""What may hold the digits of a card number and is none: UUIDs, hashes, ULIDs, IBANs, IPv6 addresses.

An IMEI needs no rule here: it has 15 digits and begins with 01, 35, 86, 98 or 99, and no issuer of 15 digits does.
"""

from __future__ import annotations

import re
from functools import cache
from ipaddress import IPv6Address

#: ISO 13616, the IBAN registry of SWIFT: after country and two check digits, n digits, a capitals, c either.
_IBAN_SHAPES = """
AD 8n12c, AE 19n, AL 8n16c, AT 16n, AZ 4a20c, BA 16n, BE 12n, BG 4a6n8c, BH 4a14c, BI 23n, BR 23n1a1c, BY
4c4n16c, CH 5n12c, CR 18n, CY 8n16c, CZ 20n, DE 18n, DJ 23n, DK 14n, DO 4c20n, EE 16n, EG 25n, ES 20n, FI 14n,
FK 2a12n, FO 14n, FR 10n11c2n, GB 4a14n, GE 2a16n, GI 4a15c, GL 14n, GR 7n16c, GT 24c, HN 4a20n, HR 17n, HU
24n, IE 4a14n, IL 19n, IQ 4a15n, IS 22n, IT 1a10n12c, JO 4a4n18c, KW 4a22c, KZ 3n13c, LB 4n20c, LC 4a24c, LI
5n12c, LT 16n, LU 3n13c, LV 4a13c, LY 21n, MC 10n11c2n, MD 20c, ME 18n, MK 3n10c2n, MN 16n, MR 23n, MT
4a5n18c, MU 4a19n3a, NI 4a20n, NL 4a10n, NO 11n, OM 3n16c, PK 4a16c, PL 24n, PS 4a21c, PT 21n, QA 4a21c, RO
4a16c, RS 18n, RU 14n15c, SA 2n18c, SC 4a20n3a, SD 14n, SE 20n, SI 15n, SK 20n, SM 1a10n12c, SO 19n, ST 21n,
SV 4a20n, TL 19n, TN 20n, TR 6n16c, UA 6n19c, VA 18n, VG 4a16n, XK 16n, YE 4a4n18c
"""
_IBAN = dict(entry.split() for entry in _IBAN_SHAPES.split(","))
_OF_KIND = {"n": "[0-9]", "a": "[A-Z]", "c": "[0-9A-Z]"}
_IBAN_BEGIN = re.compile(r"(?<![0-9A-Za-z])([A-Za-z]{2})[0-9]{2}[\s-]?[0-9A-Za-z]{3}")

_UUID = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
#: Digits in hexadecimal of object ids, UUIDs without hyphens, and hashes (MD5 to SHA-512).
_HEX_LENGTHS = frozenset((24, 32, 40, 48, 56, 64, 96, 128))
_HEX = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{24,128}(?![0-9A-Fa-f])")
#: Crockford's base 32; the first character is 0 until the year 3084.
_ULID = re.compile(r"(?<![0-9A-Za-z])0[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}(?![0-9A-Za-z])")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![0-9A-Za-z:])")


def lookalikes_in(text: str) -> list[tuple[int, int]]:
    """Where identifiers stand in a text that are no card numbers though parts of them might seem so: (start, end).

    >>> lookalikes_in("to FI8995604635961286"), lookalikes_in("4111111111111111")
    ([(3, 21)], [])
    """
    spans = [found.span() for found in _UUID.finditer(text)]
    spans += [found.span() for found in _HEX.finditer(text) if _is_hash(found.group())]
    spans += [found.span() for found in _ULID.finditer(text) if not found.group().isdigit()]
    spans += [found.span() for found in _IPV6.finditer(text) if _is_ipv6(found.group())]
    for begin in _IBAN_BEGIN.finditer(text):
        shape = _iban_shape(begin.group(1).upper())
        found = shape.match(text, begin.start()) if shape else None
        # In small letters the check digits must be right too: "fi" may stand before any number.
        if found and (found.group().isupper() or _has_iban_check_digits(found.group())):
            spans.append(found.span())
    return spans


def _is_hash(text: str) -> bool:
    return len(text) in _HEX_LENGTHS and not text.isdigit()


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


@cache
def _iban_shape(country: str) -> re.Pattern[str] | None:
    """An IBAN of that country, with at most one blank or hyphen between two characters."""
    if country not in _IBAN:
        return None
    parts = re.findall(r"(\d+)([nac])", _IBAN[country])
    account = "".join(rf"(?:[\s-]?{_OF_KIND[kind]}){{{count}}}" for count, kind in parts)
    return re.compile(rf"{country}[0-9]{{2}}{account}(?![0-9A-Za-z])", re.IGNORECASE)


def _has_iban_check_digits(text: str) -> bool:
    """ISO 7064, MOD 97-10."""
    plain = "".join(char for char in text if char.isalnum())
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1
