"""The four decisions as an ordered enum."""

from __future__ import annotations

import enum


class Decision(enum.IntEnum):
    """What to do with a payment, ordered by severity: approve < challenge < review < decline."""

    APPROVE = 0
    CHALLENGE = 1
    REVIEW = 2
    DECLINE = 3

    @property
    def word(self) -> str:
        """The word used in the HTTP contract."""
        return _WORDS[self]


_WORDS = ("approve", "challenge", "review", "decline")
_BY_WORD = {word: Decision(value) for value, word in enumerate(_WORDS)}


def decision_named(word: str) -> Decision:
    """The decision of a policy's word.

    >>> decision_named("review") > decision_named("challenge")
    True
    """
    return _BY_WORD[word]
