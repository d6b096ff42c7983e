"""The wording of numbers, amounts and times for people; pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from features.domain.currencies import CURRENCIES

#: The sign for a currency that is not known (ISO 8859-1, 0xA4): the bundle that decides is not kept on this host.
UNKNOWN_CURRENCY = "¤"
_SIGNS = {"INR": "₹", "EUR": "€", "GBP": "£", "USD": "US$"}
_LABELS = {
    "upi": "UPI",
    "qr_static": "static QR",
    "qr_dynamic": "dynamic QR",
    "pos": "point of sale",
    "p2p": "person to person",
    "in_app": "in app",
    "collect": "collect request",
    "netbanking": "net banking",
    **{word: word.upper() for word in ("sepa", "ach", "rtp", "imps", "neft", "atm", "moto", "ivr", "bnpl")},
    "sepa_instant": "SEPA instant",
    "pix": "Pix",
    "fednow": "FedNow",
}
_SPAN_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def grouped(digits: str, *, indian: bool) -> str:
    """Digits with separators: lakh and crore groups for Indian amounts, thousands otherwise.

    >>> grouped("123456789", indian=True), grouped("123456789", indian=False)
    ('12,34,56,789', '123,456,789')
    """
    head, tail = digits[:-3], digits[-3:]
    groups = [tail]
    size = 2 if indian else 3
    while head:
        groups.insert(0, head[-size:])
        head = head[:-size]
    return ",".join(groups)


def money(amount_minor: int, currency: str) -> str:
    """An amount with its currency; in minor units for a currency whose minor unit is not known.

    >>> money(123456789, "INR"), money(-5, "USD"), money(1500, "JPY"), money(1500, "USDT")
    ('₹12,34,567.89', '−US$0.05', 'JPY 1,500', '1,500 minor units of USDT')
    """
    if currency not in CURRENCIES and currency != UNKNOWN_CURRENCY:
        return f"{number(amount_minor)} minor units of {currency}"
    places = CURRENCIES[currency][0] if currency in CURRENCIES else 2
    digits = str(abs(amount_minor)).rjust(places + 1, "0")
    whole, part = (digits[:-places], "." + digits[-places:]) if places else (digits, "")
    sign = "−" if amount_minor < 0 else ""
    return f"{sign}{_SIGNS.get(currency, currency + ' ')}{grouped(whole, indian=currency == 'INR')}{part}"


def percent(score: float | None) -> str:
    """A probability as a percentage, or "not scored".

    >>> percent(0.0713), percent(0.00004), percent(0.99999), percent(None)
    ('7.1 %', '< 0.1 %', '> 99.9 %', 'not scored')
    """
    if score is None:
        return "not scored"
    if 0.0 < score < 0.001:
        return "< 0.1 %"
    if 0.999 < score < 1.0:
        return "> 99.9 %"
    return f"{100 * score:.1f} %"


def moment(time_ms: int) -> str:
    """A time to the second, in UTC.

    >>> moment(1794355203120)
    '11 Nov 2026, 00:00:03 UTC'
    """
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%-d %b %Y, %H:%M:%S} UTC"


def short_moment(time_ms: int) -> str:
    """A time to the second without its year, for lists around a payment whose year is shown.

    >>> short_moment(1794355203120)
    '11 Nov, 00:00:03 UTC'
    """
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%-d %b, %H:%M:%S} UTC"


def iso(time_ms: int) -> str:
    """The machine-readable form of a time, for `<time datetime>`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def span(seconds: float) -> str:
    """A duration in its largest one or two units.

    >>> span(0.4), span(75), span(3600), span(200000)
    ('under 1 s', '1 min 15 s', '1 h', '2 d 7 h')
    """
    left = round(abs(seconds))
    if left == 0:
        return "under 1 s"
    parts = []
    for size, unit in _SPAN_UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
            if len(parts) == 2:
                break
        elif parts:
            break
    return " ".join(parts)


def apart(time_ms: int, from_ms: int) -> str:
    """A time relative to another.

    >>> apart(60_000, 0), apart(0, 7_200_000), apart(5, 5)
    ('1 min later', '2 h before', 'at the same time')
    """
    if time_ms == from_ms:
        return "at the same time"
    return f"{span((time_ms - from_ms) / 1000)} {'later' if time_ms > from_ms else 'before'}"


def plain(word: str) -> str:
    """A word of the contract in plain English.

    >>> plain("qr_static"), plain("wallet")
    ('static QR', 'wallet')
    """
    return _LABELS.get(word, word.replace("_", " "))


def number(value: float) -> str:
    """A whole number in full, another with four significant digits below 1,000 and one decimal above.

    >>> number(3.0), number(0.123456), number(1234567.0)
    ('3', '0.1235', '1,234,567')
    """
    if value == math.floor(value) and abs(value) < 1e15:
        sign = "−" if value < 0 else ""
        return sign + grouped(str(abs(int(value))), indian=False)
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def quantity(value: float, unit: str, reference: str) -> str:
    """A feature's value with its unit; `reference` is the currency of amounts in reference minor units.

    >>> quantity(480000.0, "reference minor units", "INR")
    '₹4,800.00'
    >>> quantity(1.0, "0 or 1", "INR"), quantity(0.5, "fraction", "INR")
    ('yes', '50.0 %')
    >>> quantity(2.0, "level 0..3", "INR"), quantity(1.0, "payments", "INR")
    ('level 2 of 0–3', '1 payment')
    """
    match unit:
        case "reference minor units":
            return money(round(value), reference)
        case "0 or 1":
            return "no" if value == 0.0 else "yes"
        case "fraction":
            return f"{100 * value:.1f} %"
        case "ratio":
            return f"{number(round(value, 2))} ×"
        case "seconds":
            return span(value)
        case "days":
            return span(value * 86_400)
        case "hours":
            minutes = round(value * 60) % 1440
            return f"{minutes // 60:02d}:{minutes % 60:02d}"
        case "day, Monday = 0":
            return ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[int(value) % 7]
        case "ISO 18245 code":
            return f"{int(value):04d}"
        case "code" | "numeric" | "categorical":
            return number(value)
    scale = re.fullmatch(r"(\w+) (\d+)\.\.(\d+)", unit)
    if scale:
        return f"{scale[1]} {number(value)} of {scale[2]}–{scale[3]}"
    if unit.startswith("log10"):
        return f"{number(round(value, 3))} (log₁₀)"
    return f"{number(value)} {_singular(unit) if value == 1.0 else unit}"


def _singular(unit: str) -> str:
    """The singular of a unit.

    >>> _singular("payments"), _singular("IP addresses")
    ('payment', 'IP address')
    """
    if unit.endswith("sses"):
        return unit[:-2]
    return unit.removesuffix("s")
