"""The codes of rails and channels: the place of a word in this release's vocabulary, and codes of a deployment's own.

A model may meet a code that it was not trained on; LightGBM treats it as a category that no split names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Code of a deployment's first own word: words that later releases append do not reach it, so old codes keep their
#: meaning.
FIRST_OWN_CODE = 64
MOST_OWN_WORDS = 64
_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


def codes_of(words: Sequence[str], own: Sequence[str]) -> dict[str, float]:
    """The code of each word; an own word wins over a word that a later release has added under its name.

    >>> codes_of(("upi", "card"), ("ussd",))
    {'upi': 0.0, 'card': 1.0, 'ussd': 64.0}
    """
    codes = {word: float(place) for place, word in enumerate(words)}
    return codes | {word: float(FIRST_OWN_CODE + place) for place, word in enumerate(own)}


def vocabulary_problems(name: str, own: Sequence[str]) -> list[str]:
    """What is wrong with a deployment's own words, each with its repair."""
    found = [
        f"{name}: {word!r} is no word, use up to 32 of a-z, 0-9 and _, a letter first."
        for word in own
        if _WORD.fullmatch(word) is None
    ]
    if len(set(own)) != len(own):
        found.append(f"{name}: a word stands twice, list it once.")
    if len(own) > MOST_OWN_WORDS:
        found.append(f"{name}: at most {MOST_OWN_WORDS} words of your own; give rare ones as other.")
    return found
