"""Words of a payment that have several spellings, and codes of the card networks that mean a word of the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.catalogue import catalogue
from features.domain.card_words import CODES, WORDS, card_word
from features.domain.payment import CHANNELS, RAILS, Payment
from features.errors import Refused
from features.intake.parse import read_payment
from tests.serving.scoring_world import payment

KNOWN = catalogue()
PLACES = [(field, word, code) for field, table in CODES.items() for word, codes in table.items() for code in codes]
CASES = st.sampled_from((str.lower, str.upper, str.title))
AROUND = st.sampled_from(("", " ", "\t"))
BETWEEN = st.sampled_from(("_", "-", " ", "  ", " - ", "\u2010", "\u2013"))


def read(**changes: Any) -> Payment:
    return read_payment(json.dumps(payment("w-1", **{"attributes": None} | changes)).encode(), KNOWN)


def card(field: str, value: Any) -> dict[str, Any]:
    return {"three_ds": {"result": value}} if field == "result" else {field: value}


def read_card(field: str, value: Any) -> str | None:
    """What is kept of a card with one field; a warning stands for a value that is not kept."""
    found = read(card=card(field, value))
    assert bool(found.warnings) is (found.card is None)
    if found.card is None:
        return None
    where = found.card.three_ds if field == "result" else found.card
    word: str = getattr(where, field)
    return word


@given(
    st.sampled_from([("rail", one) for one in RAILS] + [("channel", one) for one in CHANNELS]), CASES, AROUND, BETWEEN
)
def test_blanks_hyphens_and_letter_case_of_rails_and_channels_are_spelling(
    place: tuple[str, str], case: Any, around: str, between: str
) -> None:
    field, word = place
    found = read(**{field: around + case(word.replace("_", between)) + around})
    assert (getattr(found, field), found.warnings) == (word, ())


@given(
    st.sampled_from(("rail", "channel")),
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1),
)
def test_any_other_word_counts_as_other_and_the_warning_names_the_accepted_ones(field: str, text: str) -> None:
    words = RAILS if field == "rail" else CHANNELS
    try:
        found = read(**{field: text})
    except Refused:  # a card number, or too long
        return
    assert getattr(found, field) in words
    for warning in found.warnings:
        assert all(word in warning.message for word in words)


@given(st.sampled_from([(field, word) for field, words in WORDS.items() for word in words]), CASES, AROUND, BETWEEN)
def test_words_of_a_card_have_the_same_spellings(place: tuple[str, str], case: Any, around: str, between: str) -> None:
    field, word = place
    assert read_card(field, around + case(word.replace("_", between)) + around) == word


@pytest.mark.parametrize(("field", "word", "code"), PLACES)
def test_a_code_of_the_networks_means_its_word_in_either_case(field: str, word: str, code: str) -> None:
    assert word in WORDS[field]
    assert [read_card(field, one) for one in (code, code.upper(), code.replace("_", "-"))] == [word] * 3


def test_a_code_has_one_meaning() -> None:
    for field, table in CODES.items():
        codes = [code for codes in table.values() for code in codes]
        assert len(codes) == len(set(codes)) and not set(codes) & set(WORDS[field])


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("result", "Y", "authenticated"), ("result", "A", "attempted"), ("result", "N", "failed"),
        ("result", "U", "unavailable"), ("result", "R", "failed"), ("result", "C", None), ("result", "I", None),
        ("avs", "Y", "match"), ("avs", "Z", "partial"), ("avs", "N", "no_match"), ("avs", "U", "unavailable"),
        ("cvv", "M", "match"), ("cvv", "N", "no_match"), ("cvv", "P", "unavailable"), ("cvv", "Y", None),
        ("entry_mode", "05", "chip"), ("entry_mode", 5, "chip"), ("entry_mode", "051", "chip"),
        ("entry_mode", "071", "contactless"), ("entry_mode", "90", "magstripe"), ("entry_mode", 901, "magstripe"),
        ("entry_mode", "012", "manual"), ("entry_mode", "81", "ecommerce"), ("entry_mode", "nfc", "contactless"),
        ("entry_mode", "ICC", "chip"), ("entry_mode", "00", None), ("entry_mode", "10", None),
        ("entry_mode", "0510", None), ("funding", "charge", "credit"), ("funding", "D", "debit"),
    ],
)  # fmt: skip
def test_what_the_networks_send_is_read(field: str, value: Any, word: str | None) -> None:
    assert read_card(field, value) == word


@given(st.sampled_from(list(WORDS)), st.text(max_size=12))
def test_a_code_of_any_text_is_a_word_of_the_contract_or_none(field: str, text: str) -> None:
    assert card_word(field, text) in (*WORDS[field], None)


@pytest.mark.parametrize("field", WORDS)
def test_the_warning_names_the_accepted_words(field: str) -> None:
    (warning,) = read(card=card(field, "perhaps")).warnings
    assert warning.code == "invalid_value" and ", ".join(WORDS[field]) in warning.message
