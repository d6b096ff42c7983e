"""Amounts in reference minor units: fixed weights that make amounts of different currencies addable.

A window adds the amounts of one entity across currencies, in *reference minor units*: the amount times a fixed weight
per currency, rounded down to an integer. The weights are part of the feature contract and do not follow the market,
because a replayed feature must always equal the served one; they are orders of magnitude for fraud features, not
accounting. The weight of the reference currency is exactly one.

A payment in a currency without a weight has an unknown amount: its own features of the amount are missing (NaN, not
zero), windows count the payment and add nothing to their sums and maxima (a mean has it in its count alone), and the
policy treats it like the largest amounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from features.domain.currencies import CURRENCIES

#: Per currency (numerator, denominator): reference minor units = amount_minor * numerator // denominator.
Weights = Mapping[str, tuple[int, int]]

#: A larger amount is a mistake of the caller; the limit also keeps every sum exact in 64 bits.
LARGEST_AMOUNT_MINOR = 10**12
#: Amounts count at most so much, in reference minor units: 92 of the largest still add up in 64 bits, whatever the
#: weight. Only amounts beyond a billion dollars reach it, in a reference currency of the smallest units (IRR).
LARGEST_REFERENCE_MINOR = 10**17

#: Stands for an unknown amount where amounts are 64-bit integers: no amount comes near, not even a negative one of a
#: history that an old release imported.
UNKNOWN_AMOUNT = -(2**63)


def reference_weights(reference: str) -> dict[str, tuple[int, int]]:
    """The weights of all listed currencies for this reference currency.

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


def reference_minor(amount_minor: int, currency: str, weights: Weights) -> int:
    """The amount in reference minor units, at most LARGEST_REFERENCE_MINOR; UNKNOWN_AMOUNT without a weight.

    >>> weights = reference_weights("INR")
    >>> reference_minor(1000, "USD", weights), reference_minor(1000, "USDT", weights) == UNKNOWN_AMOUNT
    (85000, True)
    """
    weight = weights.get(currency)
    if weight is None:
        return UNKNOWN_AMOUNT
    amount = amount_minor * weight[0] // weight[1]
    return amount if amount < LARGEST_REFERENCE_MINOR else LARGEST_REFERENCE_MINOR


def minor_per_major(currency: str) -> int:
    """Minor units of one unit of a listed currency.

    >>> minor_per_major("INR"), minor_per_major("JPY")
    (100, 1)
    """
    return int(10 ** CURRENCIES[currency][0])


def weight_problems(weights: Weights, reference: str) -> list[str]:
    """Every contradiction in a table of weights, each with its repair."""
    found = []
    if weights.get(reference) != (1, 1):
        found.append(f"currency_weights of {reference}: the reference currency weighs exactly 1.")
    if "USD" not in weights:
        found.append("currency_weights lack USD, by which small amounts are known: add it.")
    found += [
        f"currency_weights of {code}: {above}/{below} is no ratio of two whole numbers from 1 to 2^63 - 1."
        for code, (above, below) in weights.items()
        if not (0 < above < 2**63 and 0 < below < 2**63)
    ]
    return found
