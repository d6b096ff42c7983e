"""Normalises a history's spellings that have one meaning, and refuses rows that can never be folded or labelled.

Both happen once, before a history is stored or replayed. A history that an older release stored is folded as it was
stored: verification must reproduce the decisions made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.domain.money import LARGEST_AMOUNT_MINOR
from features.domain.payment import Payment
from features.domain.payment_fields import COUNTRY, LONGEST_TEXT
from features.errors import InvalidHistory
from features.history.schema import AFTERWARDS, OPTIONAL, REQUIRED, dictionary_of, each_word, times_ms, valid
from features.intake.normalise import country_word, currency_word
from features.intake.pseudonyms import Pseudonyms

#: The range of Python's datetime, ms UTC.
EARLIEST_MS, LATEST_MS = -62_135_596_800_000, 253_402_300_799_999
_COUNTRIES = ("payer_country", "payee_country")
#: Rows that an error message names.
_MOST_ROWS = 3


def normalised_payment(payment: Payment) -> Payment:
    """A payment with its currency and countries as the contract spells them."""
    currency = currency_word(payment.currency)
    payer, payee = country_word(payment.payer_country), country_word(payment.payee_country)
    if (currency, payer, payee) == (payment.currency, payment.payer_country, payment.payee_country):
        return payment
    fields = {name: getattr(payment, name) for name in Payment.__struct_fields__}
    return Payment(**fields | {"currency": currency, "payer_country": payer, "payee_country": payee})


def normalised(history: pa.Table) -> pa.Table:
    """A completed history with currencies and countries as the contract spells them; the same table if they are.

    Raises: InvalidHistory for text that is not UTF-8.
    """
    try:
        history.validate(full=True)
    except pa.ArrowInvalid as problem:
        raise InvalidHistory(
            "The history holds text that is not UTF-8.", "Write the file again with its texts in UTF-8."
        ) from problem
    for column, word in (("currency", currency_word), *((name, country_word) for name in _COUNTRIES)):
        history = _rewritten(history, column, word)
    return _rewritten(history, "mcc", lambda text: text.strip() or None)


def pseudonymised(history: pa.Table, names: Pseudonyms) -> pa.Table:
    """A history with pseudonyms in place of instruments and IP addresses."""
    for entity, column in (("instrument", "instrument_id"), ("ip", "ip")):
        if column in history.column_names:
            history = _rewritten(history, column, partial(names.of, entity))
    return history


def _rewritten(history: pa.Table, column: str, word: Callable[[str], str | None]) -> pa.Table:
    coded = dictionary_of(history[column])
    known = coded.dictionary.to_pylist()
    words = [word(one) for one in known]
    if words == known:
        return history
    values = pa.DictionaryArray.from_arrays(coded.indices, pa.array(words, pa.string())).cast(pa.string())
    place = history.schema.get_field_index(column)
    return history.set_column(place, history.schema.field(place), values)


def check_words(history: pa.Table) -> None:
    """Refuse a completed history with rows that could not be folded, or that no label could ever reach.

    Raises: InvalidHistory naming every problem found, its first rows, and the repair.
    """
    found = list(_problems(history))
    if found:
        raise InvalidHistory("The history cannot be imported: " + "; ".join(found) + ".", "Repair the rows named.")


def _problems(history: pa.Table) -> Iterator[str]:
    amounts = history["amount_minor"].to_numpy()
    yield from _named(
        (amounts < 0) | (amounts > LARGEST_AMOUNT_MINOR),
        f"amount_minor lies outside 0..{LARGEST_AMOUNT_MINOR} (a refund is an outcome, not a payment)",
    )
    yield from _named(
        ~each_word(history["currency"], lambda word: 0 < len(word) <= LONGEST_TEXT and word.isprintable(), True),
        f"currency is no text of 1 to {LONGEST_TEXT} printable characters",
    )
    for column in _COUNTRIES:
        yield from _named(
            ~each_word(history[column], lambda word: COUNTRY.fullmatch(word) is not None, True),
            f"{column} is no country code (two letters, ISO 3166-1)",
        )
    yield from _named(
        ~each_word(history["mcc"], _is_category, True), "mcc is no category code (four digits, ISO 18245)"
    )
    for field in (*REQUIRED, *OPTIONAL, *AFTERWARDS):
        if pa.types.is_timestamp(field.type):
            times = times_ms(history[field.name])
            outside = valid(history[field.name]) & ((times < EARLIEST_MS) | (times > LATEST_MS))
            yield from _named(outside, f"{field.name} lies outside the years 1..9999")


def _is_category(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 4


def _named(wrong: npt.NDArray[np.bool_], what: str) -> Iterator[str]:
    rows = np.flatnonzero(wrong)
    if rows.size:
        first = ", ".join(str(row) for row in rows[:_MOST_ROWS].tolist())
        more = f" and {rows.size - _MOST_ROWS} more" if rows.size > _MOST_ROWS else ""
        yield f"row {first}{more}: {what}"
