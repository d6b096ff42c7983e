"""Tokens of card numbers: keyed hashes, the same for the same number in any spelling, not reversible without the key.

A token is `pan_`, one letter for the version of the key (`b` is 1), and 25 letters: 100 bits of keyed BLAKE2b. Letters,
so that no token looks like a card number.
"""

from __future__ import annotations

import re
from binascii import hexlify
from hashlib import blake2b

from features.errors import RiskgateError
from features.intake.card_numbers import card_numbers_in

PREFIX = "pan_"
_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_LENGTH = 25
#: The letters b to z.
FIRST_VERSION, LAST_VERSION = 1, 25
_TOKEN = re.compile(rf"{PREFIX}[b-z][a-p]{{{_LENGTH}}}", re.ASCII)
#: Rounds of replacement; one is enough for a text that nobody composed to defeat it.
_MOST_ROUNDS = 4


class Tokens:
    """Makes tokens with one secret; `fingerprint` identifies the secret without revealing it.

    >>> tokens = Tokens("a secret of thirty-two characters")
    >>> tokens.replace("4111 1111 1111 1111")[0] == tokens.token("4111111111111111")
    True
    """

    def __init__(self, secret: str, version: int = FIRST_VERSION) -> None:
        if not FIRST_VERSION <= version <= LAST_VERSION:
            raise RiskgateError(
                f"The version of a token key is {version}; versions are {FIRST_VERSION} to {LAST_VERSION}.",
                "Give the key a version in that range.",
            )
        key = blake2b(secret.encode(), digest_size=32, person=b"riskgate tokens").digest()
        self._hash = blake2b(key=key, digest_size=(_LENGTH + 1) // 2, person=b"card number")
        self._head = PREFIX + chr(ord("a") + version)
        self.version = version
        self.fingerprint = blake2b(key=key, digest_size=8, person=b"fingerprint").hexdigest()

    def token(self, digits: str) -> str:
        """The token of a card number, given as ASCII digits."""
        digest = self._hash.copy()
        digest.update(digits.encode())
        return self._head + hexlify(digest.digest()).translate(_LETTERS)[:_LENGTH].decode()

    def replace(self, text: str) -> tuple[str, str | None]:
        """The text with its token in place of each card number, and the first token; None: there was no number.

        An expiry date glued to a number goes with it. Tokens are longer than numbers: 30 characters each.
        """
        first = None
        for _ in range(_MOST_ROUNDS):
            numbers = card_numbers_in(text)
            if not numbers:
                break
            first = first or self.token(numbers[0].digits)
            for number in reversed(numbers):
                text = text[: number.start] + self.token(number.digits) + text[number.end :]
        return text, first


def is_token(text: str) -> bool:
    """Whether a text is a token of a card number.

    >>> is_token("pan_b" + "a" * 25), is_token("pan_4111111111111111")
    (True, False)
    """
    return text.startswith(PREFIX) and _TOKEN.fullmatch(text) is not None
