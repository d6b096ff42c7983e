"""Currencies are those of ISO 4217, weights come from the contract, and an amount without a weight is unknown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.catalogue import CatalogueParameters, catalogue, catalogue_of
from features.domain.contract import Contract
from features.domain.currencies import CURRENCIES
from features.domain.money import (
    LARGEST_AMOUNT_MINOR,
    LARGEST_REFERENCE_MINOR,
    UNKNOWN_AMOUNT,
    reference_minor,
    reference_weights,
)
from features.errors import InvalidDeclaration

LIST_ONE = Path(__file__).parents[2] / "fixtures" / "iso4217.csv"
#: The currencies of the releases before ISO 4217 was listed whole, with the units per dollar that their contracts hold.
FIRST = {
    "AED": "3.67", "AUD": "1.5", "BDT": "120", "BHD": "0.376", "BRL": "5.5", "CAD": "1.4", "CHF": "0.85",
    "CLP": "950", "CNY": "7.2", "CZK": "22", "DKK": "6.7", "EGP": "49", "EUR": "0.9", "GBP": "0.77", "HKD": "7.8",
    "HUF": "360", "IDR": "16000", "ILS": "3.6", "INR": "85", "JOD": "0.709", "JPY": "150", "KES": "129",
    "KRW": "1380", "KWD": "0.307", "LKR": "300", "MXN": "19", "MYR": "4.4", "NGN": "1550", "NOK": "10.5",
    "NPR": "136", "NZD": "1.65", "OMR": "0.385", "PHP": "57", "PKR": "280", "PLN": "3.9", "QAR": "3.64",
    "RON": "4.5", "SAR": "3.75", "SEK": "10.2", "SGD": "1.33", "THB": "34", "TND": "3.1", "TRY": "38", "TWD": "32",
    "UAH": "41", "USD": "1", "VND": "25000", "ZAR": "18",
}  # fmt: skip
#: The hash that the release before computed for its default parameters.
FIRST_HASH = "5a8ae78c30ae2a65a0566935f7d79008c65c13a2040a774d8238d6976bd5ab43"
currencies = st.sampled_from(sorted(CURRENCIES))
amounts = st.integers(0, LARGEST_AMOUNT_MINOR)


def contract_of_before() -> Contract:
    """A contract as the release with 48 currencies wrote it."""
    now = catalogue(CatalogueParameters()).contract()
    weights = {code: list(pair) for code, pair in reference_weights("INR").items() if code in FIRST}
    kept = {name: value for name, value in now.parameters.items() if name != "ipv6_windows"}
    return msgspec.structs.replace(now, parameters=kept | {"currency_weights": weights})


def test_the_currencies_are_those_of_iso_4217_that_have_a_minor_unit() -> None:
    listed = dict(line.split(",") for line in LIST_ONE.read_text().splitlines() if not line.startswith("#"))
    assert {code: str(digits) for code, (digits, _) in CURRENCIES.items()} == listed
    assert len(listed) == 165


def test_the_first_currencies_keep_their_weights() -> None:
    assert {code: per_dollar for code, (_, per_dollar) in CURRENCIES.items() if code in FIRST} == FIRST


@given(currencies, currencies, amounts)
def test_an_amount_there_and_back_differs_by_less_than_the_rounding(there: str, here: str, amount: int) -> None:
    weights, back = reference_weights(there), reference_weights(here)
    converted = reference_minor(amount, here, weights)
    assert 0 <= converted <= LARGEST_REFERENCE_MINOR
    if converted < LARGEST_REFERENCE_MINOR:
        returned = reference_minor(converted, there, back)
        numerator, denominator = back[there]
        assert amount - (numerator / denominator) - 1 <= returned <= amount


@given(currencies, currencies)
def test_the_largest_amounts_add_up_in_64_bits(reference: str, currency: str) -> None:
    assert 92 * reference_minor(LARGEST_AMOUNT_MINOR, currency, reference_weights(reference)) < 2**63


def test_a_contract_of_before_keeps_its_table_and_its_hash() -> None:
    before = contract_of_before()
    again = catalogue_of(Contract.from_json(before.to_json()))
    assert before.hash == FIRST_HASH
    assert again.contract().hash == FIRST_HASH
    assert again.reference_minor(100, "USD") == 8_500
    assert again.reference_minor(100, "PEN") == UNKNOWN_AMOUNT, "its own table lacks the Peruvian sol"
    assert catalogue(CatalogueParameters()).reference_minor(100, "PEN") > 0


def test_a_contract_of_today_gives_the_parameters_it_was_made_with() -> None:
    chosen = CatalogueParameters(reference_currency="PEN", rails=("ussd",), channels=("kiosk", "upi_lite"))
    again = catalogue_of(Contract.from_json(catalogue(chosen).contract().to_json()))
    assert again.parameters == chosen
    assert again.contract().hash == catalogue(chosen).contract().hash


def test_an_own_weight_is_part_of_the_contract_and_used() -> None:
    own = catalogue(CatalogueParameters(currency_weights=reference_weights("INR") | {"USDT": (17, 2000)}))
    again = catalogue_of(Contract.from_json(own.contract().to_json()))
    assert again.reference_minor(1_000_000, "USDT") == 8_500
    assert own.contract().hash != catalogue(CatalogueParameters()).contract().hash


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"currency_weights": {"USD": (1, 1)}}, "the reference currency weighs exactly 1"),
        ({"currency_weights": {"INR": (1, 1)}}, "lack USD"),
        ({"currency_weights": reference_weights("INR") | {"USDT": (0, 1)}}, "is no ratio of two whole numbers"),
        ({"rails": ("Carrier Pigeon",)}, "is no word"),
        ({"channels": ("kiosk", "kiosk")}, "stands twice"),
    ],
)
def test_a_table_or_word_that_cannot_be_used_is_refused(parameters: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        catalogue(CatalogueParameters(**parameters))  # type: ignore[arg-type]


def test_words_keep_their_codes() -> None:
    known = catalogue(CatalogueParameters(rails=("ussd",)))
    assert [known.rail_codes[word] for word in ("upi", "wallet", "card", "netbanking")] == [0, 1, 2, 3]
    assert known.rail_codes["ussd"] == 64
    first = ("online", "in_app", "qr_static", "qr_dynamic", "pos", "p2p", "collect")
    assert [known.channel_codes[word] for word in first] == list(range(7))
