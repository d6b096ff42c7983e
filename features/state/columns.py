"""Encodes payments as the kernel's numeric inputs, for one payment and for the columns of a history."""

from __future__ import annotations

import struct
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.catalogue import payment_features
from features.catalogue.catalogue import Catalogue
from features.domain.money import LARGEST_REFERENCE_MINOR, UNKNOWN_AMOUNT, reference_minor
from features.domain.payment import OTHER, Payment
from features.domain.utc_offsets import UTC_OFFSET_MINUTES
from features.history.schema import each_word, times_ms, valid
from features.state.profiles import InstrumentProfile, InvalidProfile, PayeeProfile, PayerProfile, ProfileRow, Profiles

Vector = npt.NDArray[np.float64]

_OFFSETS = {country: float(minutes) for country, minutes in UTC_OFFSET_MINUTES.items()}
OTHER_CATEGORY = -1.0
MISSING = float("nan")
_PUT_REQUEST = struct.Struct(f"{payment_features.ATTRIBUTES}d").pack_into


@lru_cache(maxsize=1 << 10)
def country_code(country: str | None) -> float:
    """An ISO 3166-1 alpha-2 code as a number, NaN for None.

    >>> country_code("AB")
    1.0
    """
    return MISSING if country is None else float((ord(country[0]) - 65) * 26 + ord(country[1]) - 65)


def category_code(value: float | str, categories: tuple[str, ...]) -> float:
    """The index of a category in the declared list, -1 for any other category."""
    return float(categories.index(str(value))) if value in categories else OTHER_CATEGORY


def reference_amount(payment: Payment, catalogue: Catalogue) -> int:
    """The amount in reference minor units; UNKNOWN_AMOUNT for a currency without a weight."""
    return reference_minor(payment.amount_minor, payment.currency, catalogue.weights)


def encode_extra(payment: Payment, catalogue: Catalogue, extra: Vector) -> None:
    """Fill `extra` (features/catalogue/payment_features.py) for one payment."""
    payer_country, payee_country = payment.payer_country, payment.payee_country
    rails, channels = catalogue.rail_codes, catalogue.channel_codes
    utc_offset = _OFFSETS.get(payer_country or payee_country or "", 0.0)
    # In the order of the indices; storing twelve numbers one by one takes a third of a microsecond more.
    _PUT_REQUEST(
        extra.data, 0,
        rails.get(payment.rail, rails[OTHER]),
        channels.get(payment.channel, channels[OTHER]),
        MISSING if payment.mcc is None else float(payment.mcc),
        country_code(payer_country),
        country_code(payee_country),
        0.0 if payment.currency == catalogue.parameters.reference_currency else 1.0,
        utc_offset,
        0.0 if payment.device_id is None else 1.0,
        0.0 if payment.latitude is None or payment.longitude is None else 1.0,
        payment.amount_minor,
        catalogue.minor_per_major.get(payment.currency, MISSING),
        catalogue.calendar.rate_at(payment.event_time_ms, utc_offset),
    )  # fmt: skip
    for i, attribute in enumerate(catalogue.parameters.attributes):
        value = payment.attributes.get(attribute.name)
        if value is None:
            extra[payment_features.ATTRIBUTES + i] = MISSING
        elif attribute.categories:
            extra[payment_features.ATTRIBUTES + i] = category_code(value, attribute.categories)
        else:
            extra[payment_features.ATTRIBUTES + i] = float(value)


def extra_words(catalogue: Catalogue) -> int:
    """Length of `extra` for this catalogue."""
    return payment_features.ATTRIBUTES + len(catalogue.parameters.attributes)


def encode_profiles(payment: Payment, profiles: Profiles | None, profile: Vector) -> None:
    """Fill `profile` with the versions of the three parties' profiles known at the time of the payment."""
    profile[:] = MISSING
    if profiles is None or profiles.empty:
        return
    at = payment.event_time_ms
    _write_profile(profiles.get("payer", payment.payer_id, at), profile)
    _write_profile(profiles.get("instrument", payment.instrument_id, at), profile)
    _write_profile(profiles.get("payee", payment.payee_id, at), profile)


def check_profile(row: ProfileRow) -> None:
    """Refuse a profile that would make every payment of its party fail to encode.

    Raises: InvalidProfile.
    """
    try:
        _write_profile(row, np.empty(payment_features.PROFILE_WORDS))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise InvalidProfile(
            "A profile holds a country, a category or a number that cannot be read.",
            "Write countries as two capitals, categories as four digits, and times as milliseconds.",
        ) from error


def _write_profile(row: ProfileRow | None, profile: Vector) -> None:
    if isinstance(row, PayerProfile):
        profile[payment_features.PAYER_SINCE] = _number(row.known_since_ms)
        profile[payment_features.PAYER_HOME] = country_code(row.home_country)
        profile[payment_features.PAYER_LEVEL] = _number(row.verification_level)
    elif isinstance(row, InstrumentProfile):
        profile[payment_features.INSTRUMENT_SINCE] = _number(row.known_since_ms)
        profile[payment_features.INSTRUMENT_ISSUER] = country_code(row.issuer_country)
    elif isinstance(row, PayeeProfile):
        profile[payment_features.PAYEE_SINCE] = _number(row.known_since_ms)
        profile[payment_features.PAYEE_MCC] = MISSING if row.mcc is None else float(row.mcc)
        profile[payment_features.PAYEE_SIZE] = _number(row.size)


def _number(value: int | None) -> float:
    return MISSING if value is None else float(value)


def _mapped(column: Any, mapping: dict[str, float], otherwise: float, empty: float | None = None) -> Vector:
    """Each text of a column through a mapping; `otherwise` for another, and for none unless `empty` stands for it."""
    return each_word(column, lambda word: mapping.get(word, otherwise), otherwise if empty is None else empty)


def amounts_of(history: pa.Table, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """Reference minor units of every payment or UNKNOWN_AMOUNT, int64[n]; the same integers as `reference_amount`."""
    sent = history["amount_minor"].to_numpy().astype(np.int64)
    known = list(catalogue.weights)
    codes = _mapped(history["currency"], {c: float(i) for i, c in enumerate(known)}, -1.0).astype(np.int64)
    out = np.full(len(sent), UNKNOWN_AMOUNT, np.int64)
    for code in np.unique(codes[codes >= 0]):
        currency, chosen = known[code], codes == code
        if catalogue.weights[currency] == (1, 1):
            out[chosen] = np.minimum(sent[chosen], LARGEST_REFERENCE_MINOR)
        else:  # Python integers: the product may exceed 64 bits
            out[chosen] = [catalogue.reference_minor(amount, currency) for amount in sent[chosen].tolist()]
    return out


def addable_amounts_of(history: pa.Table, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """The same with 0 for an unknown amount, as windows add it up: for totals and costs."""
    amounts = amounts_of(history, catalogue)
    return np.where(amounts == UNKNOWN_AMOUNT, 0, amounts)


def extras_of(history: pa.Table, catalogue: Catalogue) -> Vector:
    """`extra` of every payment of a completed history, float64[n, words]; the same numbers as `encode_extra`."""
    n = history.num_rows
    extra = np.full((n, extra_words(catalogue)), MISSING)
    for column, codes in (("rail", catalogue.rail_codes), ("channel", catalogue.channel_codes)):
        place = payment_features.RAIL if column == "rail" else payment_features.CHANNEL
        extra[:, place] = _mapped(history[column], codes, codes[OTHER], MISSING)
    extra[:, payment_features.MCC] = each_word(history["mcc"], float, MISSING)
    extra[:, payment_features.PAYER_COUNTRY] = each_word(history["payer_country"], country_code, MISSING)
    extra[:, payment_features.PAYEE_COUNTRY] = each_word(history["payee_country"], country_code, MISSING)
    extra[:, payment_features.FOREIGN] = _mapped(
        history["currency"], {catalogue.parameters.reference_currency: 0.0}, 1.0
    )
    payer_offset = _mapped(history["payer_country"], _OFFSETS, 0.0)
    payee_offset = _mapped(history["payee_country"], _OFFSETS, 0.0)
    extra[:, payment_features.UTC_OFFSET] = np.where(valid(history["payer_country"]), payer_offset, payee_offset)
    extra[:, payment_features.HAS_DEVICE] = valid(history["device_id"])
    extra[:, payment_features.HAS_LOCATION] = valid(history["latitude"]) & valid(history["longitude"])
    extra[:, payment_features.AMOUNT_AS_SENT] = history["amount_minor"].to_numpy()
    extra[:, payment_features.MINOR_PER_MAJOR] = _mapped(history["currency"], catalogue.minor_per_major, MISSING)
    extra[:, payment_features.EXPECTED_RATE] = catalogue.calendar.rates_at(
        times_ms(history["event_time"]), extra[:, payment_features.UTC_OFFSET]
    )
    for i, attribute in enumerate(catalogue.parameters.attributes):
        values = history[f"attr_{attribute.name}"]
        if attribute.categories:
            code = partial(category_code, categories=attribute.categories)
            extra[:, payment_features.ATTRIBUTES + i] = each_word(values, code, MISSING)
        else:
            extra[:, payment_features.ATTRIBUTES + i] = values.to_numpy()
    return extra
