"""The same number has the same token however it is written, and no text with tokens holds a number."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import RiskgateError
from features.intake.card_numbers import holds_card_number
from features.intake.token_key import key_file, known_tokens, read_key, secret_of
from features.intake.tokens import Tokens, is_token
from tests.features.card_numbers.identifiers import CARDS, spellings
from tests.features.card_numbers.test_card_numbers import TEXTS

TOKENS = Tokens("a key of more than thirty-two characters")
VISA = "4111111111111111"


@pytest.mark.parametrize("card", CARDS)
def test_every_spelling_of_a_number_has_its_token(card: str) -> None:
    token = TOKENS.token(card)
    assert is_token(token) and len(token) == 30 and not holds_card_number(token)
    for text in spellings(card):
        replaced, first = TOKENS.replace(text)
        assert first == token
        assert token in replaced
        assert not holds_card_number(replaced)


@pytest.mark.parametrize("text", [VISA, "4111 1111 1111 1111", f"{VISA}1226", f"{VISA}2612101"])
def test_what_is_nothing_but_a_number_becomes_exactly_its_token(text: str) -> None:
    assert TOKENS.replace(text) == (TOKENS.token(VISA), TOKENS.token(VISA))


def test_of_several_numbers_the_first_token_is_told() -> None:
    one, two = TOKENS.token(VISA), TOKENS.token("5555555555554444")
    assert TOKENS.replace(f"a {VISA} b 5555555555554444 c") == (f"a {one} b {two} c", one)


def test_what_holds_no_number_is_left_alone() -> None:
    for text in ("u-1042", "", TOKENS.token(VISA), "550e8400-e29b-41d4-a716-446655440000"):
        assert TOKENS.replace(text) == (text, None)


@given(TEXTS)
def test_replacing_leaves_no_number_and_changes_nothing_the_second_time(text: str) -> None:
    replaced, _ = TOKENS.replace(text)
    assert not holds_card_number(replaced)
    assert TOKENS.replace(replaced) == (replaced, None)


@given(st.text(max_size=40), st.integers(1, 25))
def test_a_token_tells_the_version_of_its_key_and_depends_on_it_and_on_the_secret(secret: str, version: int) -> None:
    tokens = Tokens(secret, version)
    token = tokens.token(VISA)
    assert is_token(token)
    assert token[4] == "abcdefghijklmnopqrstuvwxyz"[version]
    assert token == Tokens(secret, version).token(VISA)
    assert token[5:] != Tokens(secret + "x", version).token(VISA)[5:]
    assert tokens.fingerprint == Tokens(secret).fingerprint != Tokens(secret + "x").fingerprint


@pytest.mark.parametrize("version", [0, 26])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(RiskgateError, match="versions are 1 to 25"):
        Tokens("x" * 32, version)


@pytest.mark.parametrize(
    "text", ["pan_b", "pan_" + "1" * 26, "pan_a" + "a" * 25, "pan_b" + "q" * 25, "x" + TOKENS.token(VISA)]
)
def test_these_are_no_tokens(text: str) -> None:
    assert not is_token(text)


def test_the_key_comes_from_the_environment_or_from_the_file_or_there_is_none(tmp_path: Path) -> None:
    assert known_tokens("", tmp_path) is None
    key_file(tmp_path).write_text("0123456789abcdef" * 4 + "\n")
    own, given_key = known_tokens("", tmp_path), known_tokens("k" * 32, tmp_path)
    assert own is not None and given_key is not None
    assert own.fingerprint == Tokens("0123456789abcdef" * 4).fingerprint
    assert given_key.fingerprint == Tokens("k" * 32).fingerprint
    assert secret_of("k\\n") == "k\n"


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
def test_a_file_with_something_else_is_refused_with_the_repair(tmp_path: Path, content: bytes) -> None:
    key_file(tmp_path).write_bytes(content)
    with pytest.raises(RiskgateError, match=r"holds no key of card-number tokens .* Put it back"):
        read_key(tmp_path)
