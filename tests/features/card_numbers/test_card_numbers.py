"""Every spelling of a card number is found, nothing that only looks like one is, and the quick look misses none."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.card_numbers.issuers import RANGES, luhn
from features.intake.card_numbers import (
    card_numbers_in,
    holds_card_number,
    is_card_number,
    may_hold_card_number,
)
from tests.features.card_numbers.identifiers import CARDS, UNTOUCHED, completed, digits, spellings

VISA = "4111111111111111"
#: Of each kind; `python -m tests.features.card_numbers.identifiers 1000000` tries a million.
SOME = 2_000
#: Of random 16-digit numbers.
MOST_TOUCHED = 0.04


@pytest.mark.parametrize("card", CARDS)
def test_every_spelling_is_found_and_has_the_digits_of_the_number(card: str) -> None:
    all_spellings = list(spellings(card))
    assert len(all_spellings) > 60
    for text in all_spellings:
        assert {found.digits for found in card_numbers_in(text)} == {card}, repr(text)
        for body in (msgspec.json.encode({"payer_id": text}), json.dumps({"payer_id": text}).encode()):
            assert may_hold_card_number(body), repr(text)


@pytest.mark.parametrize("one", RANGES, ids=lambda one: f"{one.scheme} {one.first}")
def test_each_range_of_the_table_is_found_in_each_of_its_lengths(one: object) -> None:
    random = Random(7)
    for length in one.lengths:  # type: ignore[attr-defined]
        for begin in (one.first, one.last):  # type: ignore[attr-defined]
            card = completed(begin + digits(random, length - 1 - len(begin)))
            assert [found.digits for found in card_numbers_in(f"<{card}>")] == [card]


@pytest.mark.parametrize("kind", UNTOUCHED)
def test_what_only_looks_like_a_card_number_is_left_alone(kind: str) -> None:
    random = Random(20261111)
    assert [text for text in (UNTOUCHED[kind](random) for _ in range(SOME)) if holds_card_number(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "158552031838936899", "4222222222222", "FI8995604635961286", "fi8995604635961286", "FI89 9560 4635 9612 86",
        "357110665803512", "imei:356952159336025", "41111111-1111-1111-8111-111111111111", "4111111111111112",
        "9c5b94b1-35ad-49bb-b118-8e8fc24abf80", "411111111111111d411111111111111a", "5105:1051:0510:5100::1",
        "203.0.113.255", "2026-11-11T00:00:03.123456789-05:30", "t-81f3", "", "4111 1111 1111 111",
        "4111    1111    1111    1111", "411 1111 1111 11111", "41111111111111115555", "01HF4111111111111111ABCDEF",
    ],
)  # fmt: skip
def test_these_are_no_card_numbers(text: str) -> None:
    assert card_numbers_in(text) == []


def test_of_random_numbers_of_16_digits_few_are_touched() -> None:
    random = Random(20261111)
    assert sum(holds_card_number(digits(random, 16)) for _ in range(10 * SOME)) / (10 * SOME) <= MOST_TOUCHED


def test_each_of_several_numbers_is_found_where_it_stands() -> None:
    text = f"from {VISA} to 5555-5555-5555-4444, ref 12"
    assert [text[found.start : found.end] for found in card_numbers_in(text)] == [VISA, "5555-5555-5555-4444"]


def test_a_security_code_in_the_same_run_goes_with_the_number() -> None:
    (found,) = card_numbers_in(f"a{VISA}1226123b")
    assert (found.start, found.end, found.digits) == (1, 24, VISA)


def test_the_likelier_length_wins_and_a_security_code_behind_it_does_not_matter() -> None:
    for code in range(1000):
        (found,) = card_numbers_in(f"4111 1111 1111 1111 {code:03d}")
        assert found.digits == VISA


def test_a_number_beside_a_uuid_is_found_though_a_longer_one_would_reach_into_it() -> None:
    card = completed("622202000000000")
    for code in range(100, 200):
        (found,) = card_numbers_in(f"{card} {code:03d}45678-1234-4234-8234-123456789012")
        assert found.digits == card


@pytest.mark.parametrize(
    ("number", "is_one"),
    [
        (4111111111111111, True), (4111111111111111.0, True), (-4111111111111111, True), (6205500000000000004, True),
        (1794355203120, False), (4200000000000000, False), (4.2e15, False), (1e300, False), (10**400, False),
        (True, False), (0.5, False), (float("inf"), False), (float("nan"), False), (378282246310005, True),
    ],
)  # fmt: skip
def test_json_numbers(number: float, *, is_one: bool) -> None:
    assert is_card_number(number) is is_one


@pytest.mark.parametrize(
    "text", [VISA, "4.111111111111111e15", "41111111111111110e-1", "411111111111111.1E+1", "411111111117e4"]
)
def test_the_quick_look_sees_a_number_however_it_is_written(text: str) -> None:
    assert is_card_number(msgspec.json.decode(text))
    assert may_hold_card_number(b'{"a":%s}' % text.encode())


_PIECES = st.sampled_from(
    [*CARDS, "4111", "1111", "0005", "12", "26", " ", "-", "%", "%20", "\\", "é", "\u200b", "e", "x", ":"]
)
TEXTS = st.lists(_PIECES | st.text(max_size=3), max_size=12).map("".join)


@given(TEXTS)
@settings(max_examples=500)
@example("4111 1111 1111 1111")
def test_the_quick_look_never_misses_a_card_number(text: str) -> None:
    found = card_numbers_in(text)
    assert [one.start for one in found] == sorted(one.start for one in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    if found:
        assert may_hold_card_number(msgspec.json.encode({"a": [text, text]}))
        assert may_hold_card_number(msgspec.json.encode({text: 1}))


@given(st.integers(10**13, 10**19) | st.sampled_from(CARDS).map(int))
def test_the_quick_look_never_misses_a_number(number: int) -> None:
    for value in (number, float(number)):
        if is_card_number(value):
            assert may_hold_card_number(msgspec.json.encode({"a": value}))


@given(st.integers(10**13, 10**14 - 1))
def test_exactly_one_check_digit_passes(prefix: int) -> None:
    assert sum(luhn(f"{prefix}{digit}") for digit in range(10)) == 1


def test_looking_for_card_numbers_takes_no_longer_than_the_text_is_long() -> None:
    began = time.perf_counter()
    for text in ("1 " * 40_000, "1" * 80_000, "12345678-" * 9_000, "1  " * 30_000, "%34" * 30_000, "4111 " * 16_000):
        holds_card_number(text)
    assert time.perf_counter() - began < 4
