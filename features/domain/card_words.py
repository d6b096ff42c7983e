"""The words of `card`, and the codes of the card networks that mean the same (docs/design.md §3).

Sources: EMV 3-D Secure 2.3.1, `transStatus`; ISO 8583-1:1987, data element 22 with the values of Visa and Mastercard;
the address and card verification results of Visa, Mastercard and American Express; for funding the account types of
Visa's BIN tables, and Regulation (EU) 2015/751, article 2 (34), by which charge and deferred debit cards are credit.

A code without a word stands in no table: `C` and `D` (a challenge that has not ended) and `I` of 3-D Secure, entry mode
`10` (credentials on file, which a recurring payment may use and another may too), names that match (`K`, `L`, `O`).
"""

from __future__ import annotations

import re

#: The fields of `card` that are words of a closed vocabulary, and those of its `three_ds`.
CARD_WORDS = {
    "funding": ("credit", "debit", "prepaid"),
    "entry_mode": ("chip", "contactless", "magstripe", "manual", "ecommerce", "recurring"),
    "avs": ("match", "partial", "no_match", "unavailable"),
    "cvv": ("match", "no_match", "unavailable"),
}
THREE_DS_RESULTS = ("authenticated", "attempted", "failed", "not_enrolled", "unavailable")
WORDS = {**CARD_WORDS, "result": THREE_DS_RESULTS}

#: By field: the codes of each word, in lower case.
CODES: dict[str, dict[str, tuple[str, ...]]] = {
    "funding": {"credit": ("c", "charge", "h", "deferred_debit", "r"), "debit": ("d",), "prepaid": ("p",)},
    "entry_mode": {
        "chip": ("05", "95", "icc", "emv"),
        "contactless": ("07", "91", "nfc"),
        "magstripe": ("02", "80", "90", "magnetic_stripe", "swipe"),
        "manual": ("01", "79", "keyed"),
        "ecommerce": ("09", "81", "e_commerce"),
    },
    "avs": {
        "match": ("y", "x", "d", "m", "f"),
        "partial": ("a", "z", "w", "b", "p"),
        "no_match": ("n",),
        "unavailable": ("c", "e", "g", "i", "r", "s", "u"),
    },
    "cvv": {"match": ("m",), "no_match": ("n",), "unavailable": ("p", "s", "u", "x")},
    "result": {"authenticated": ("y",), "attempted": ("a",), "failed": ("n", "r"), "unavailable": ("u",)},
}
_MEANING = {
    field: {word: word for word in WORDS[field]} | {code: word for word, codes in table.items() for code in codes}
    for field, table in CODES.items()
}
#: Two digits of ISO 8583's entry mode, also without their zero or with the capability to take a PIN behind them.
_ENTRY_MODE = re.compile(r"([0-9]{1,2})|([0-9]{2})[0-9]", re.ASCII)


def card_word(field: str, text: str) -> str | None:
    """The word of a field of `card` or `three_ds` that a text in lower case means, a word or a code; None if none.

    >>> card_word("result", "y"), card_word("cvv", "m"), card_word("avs", "no_match"), card_word("cvv", "y")
    ('authenticated', 'match', 'no_match', None)
    >>> [card_word("entry_mode", text) for text in ("05", "5", "051", "nfc", "10", "5100")]
    ['chip', 'chip', 'chip', 'contactless', None, None]
    """
    if field == "entry_mode" and (found := _ENTRY_MODE.fullmatch(text)) is not None:
        text = found[2] or found[1].zfill(2)
    return _MEANING[field].get(text)
