"""Amounts: ISO 4217 exponents, and the fixed weights that make amounts of different currencies addable.

A window adds the amounts of one entity across currencies, in *reference minor units*: the amount times a fixed weight
per currency, rounded down to an integer. The weights are part of the feature contract and do not follow the market,
because a replayed feature must always equal the served one; they are orders of magnitude for fraud features, not
accounting. The weight of the reference currency is exactly one.
"""

from __future__ import annotations

from fractions import Fraction

# code: (minor digits per ISO 4217, units of the currency for one US dollar, rounded; 2026)
CURRENCIES: dict[str, tuple[int, str]] = {
    "AED": (2, "3.67"),
    "AUD": (2, "1.5"),
    "BDT": (2, "120"),
    "BHD": (3, "0.376"),
    "BRL": (2, "5.5"),
    "CAD": (2, "1.4"),
    "CHF": (2, "0.85"),
    "CLP": (0, "950"),
    "CNY": (2, "7.2"),
    "CZK": (2, "22"),
    "DKK": (2, "6.7"),
    "EGP": (2, "49"),
    "EUR": (2, "0.9"),
    "GBP": (2, "0.77"),
    "HKD": (2, "7.8"),
    "HUF": (2, "360"),
    "IDR": (2, "16000"),
    "ILS": (2, "3.6"),
    "INR": (2, "85"),
    "JOD": (3, "0.709"),
    "JPY": (0, "150"),
    "KES": (2, "129"),
    "KRW": (0, "1380"),
    "KWD": (3, "0.307"),
    "LKR": (2, "300"),
    "MXN": (2, "19"),
    "MYR": (2, "4.4"),
    "NGN": (2, "1550"),
    "NOK": (2, "10.5"),
    "NPR": (2, "136"),
    "NZD": (2, "1.65"),
    "OMR": (3, "0.385"),
    "PHP": (2, "57"),
    "PKR": (2, "280"),
    "PLN": (2, "3.9"),
    "QAR": (2, "3.64"),
    "RON": (2, "4.5"),
    "SAR": (2, "3.75"),
    "SEK": (2, "10.2"),
    "SGD": (2, "1.33"),
    "THB": (2, "34"),
    "TND": (3, "3.1"),
    "TRY": (2, "38"),
    "TWD": (2, "32"),
    "UAH": (2, "41"),
    "USD": (2, "1"),
    "VND": (0, "25000"),
    "ZAR": (2, "18"),
}

CURRENCY_CODES = tuple(CURRENCIES)

#: A larger amount is a mistake of the caller; the limit also keeps every sum exact in 64 bits.
LARGEST_AMOUNT_MINOR = 10**12


def reference_weights(reference: str) -> dict[str, tuple[int, int]]:
    """Per currency (numerator, denominator): reference minor units = amount_minor * numerator // denominator.

    >>> reference_weights("INR")["INR"]
    (1, 1)
    >>> numerator, denominator = reference_weights("INR")["USD"]
    >>> 1000 * numerator // denominator   # ten dollars, in paise
    85000
    """
    digits, per_dollar = CURRENCIES[reference]
    weights = {}
    for code, (own_digits, own_per_dollar) in CURRENCIES.items():
        weight = Fraction(per_dollar) / Fraction(own_per_dollar) * Fraction(10) ** (digits - own_digits)
        weights[code] = (weight.numerator, weight.denominator)
    return weights
