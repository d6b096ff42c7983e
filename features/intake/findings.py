"""What is found while one payment is read: problems, which refuse it, and warnings, which cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from features.domain.payment import FieldWarning
from features.errors import Problem, Refused
from features.intake.card_numbers import holds_card_number, is_card_number
from features.intake.tokens import Tokens

#: Limits of one reply, which must not be many times the request.
MOST_PROBLEMS, MOST_WARNINGS = 40, 40
#: Characters of a caller's own name that a warning repeats.
_LONGEST_NAME = 64
_KINDS: dict[type, str] = {list: "an array", dict: "an object"}
_STRICT_REPAIR = "Correct it, leave it out, or send without ?strict=1."
#: Added to what is said of a value that was not kept, and so not searched for card numbers.
#: Searched for it are so many characters of a payment: it is a courtesy, and a long text of digits takes long.
_LEAK_CHARACTERS = 2_048
_LEAK = "It holds what looks like a clear card number: stop sending it."


class Findings:
    """Collects problems and warnings; `tokens` replaces card numbers, and without it a card number is a problem."""

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens
        self.problems: list[Problem] = []
        self.warnings: list[FieldWarning] = []
        self._strict: list[Problem] = []
        self._leak_left = _LEAK_CHARACTERS

    def refuse(self, field: str | None, code: str, message: str, repair: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(code, message, field, repair))

    def warn(self, field: str, code: str, what: str, done: str, token: str | None = None, leak: Any = None) -> None:
        """Add a warning: what is wrong, and what was done about it, which a strict caller's refusal does not say.

        `leak` is a value that was not kept: whether it holds a card number is said, because its caller sends one.
        """
        more = f" {_LEAK}" if self._leaks(leak) else ""
        self.warnings.append(FieldWarning(field, code, f"{what}: {done}.{more}", token))
        self._strict.append(Problem(code, f"{what}.{more}", field, _STRICT_REPAIR))

    def _leaks(self, value: Any) -> bool:
        for text in _texts_in(value):
            if holds_card_number(text[: max(self._leak_left, 0)]):
                return True
            self._leak_left -= len(text)
        return False

    def without_card_number(self, field: str, text: str) -> str:
        """The text with a token in place of each card number."""
        if self.tokens is None:
            if holds_card_number(text):
                self.refuse(
                    field, "clear_card_number", "carries what looks like a clear card number.",
                    "Send a token instead; nothing of this request was kept.",
                )  # fmt: skip
            return text
        replaced, token = self.tokens.replace(text)
        if token is not None:
            what = "The value carries what looks like a clear card number"
            self.warn(field, "card_number_tokenised", what, "it was replaced by its token", token)
        return replaced

    def number_without_card_number(self, field: str, value: float) -> bool:
        """Whether a number may be kept: it is no card number."""
        if not is_card_number(value):
            return True
        self.without_card_number(field, str(int(value)))
        return False

    def name_of(self, name: str) -> str:
        """A caller's own name as a warning may repeat it."""
        if self.tokens is not None:
            name = self.tokens.replace(name)[0]
        elif holds_card_number(name):
            return "?"
        return "".join(char if char.isprintable() else "?" for char in name[:_LONGEST_NAME])

    def raise_problems(self, *, strict: bool) -> None:
        """Refuse the payment if there are problems, or warnings where the caller is strict.

        Raises: Refused.
        """
        problems = self.problems
        if not problems and strict:
            problems = self._strict
        if len(problems) > MOST_PROBLEMS:
            more = Problem(
                "too_many_problems", "There are more problems than are listed here.", None, "Repair these first."
            )
            problems = [*problems[:MOST_PROBLEMS], more]
        if problems:
            raise Refused(problems)

    def bounded_warnings(self) -> tuple[FieldWarning, ...]:
        """The warnings of the reply; the last one stands for all that are left off."""
        found = self.warnings
        if len(found) > MOST_WARNINGS:
            last, more = found[MOST_WARNINGS - 1], len(found) - MOST_WARNINGS
            message = f"{last.message} There are {more:,} more warnings, which are left off."
            found = [*found[: MOST_WARNINGS - 1], FieldWarning(last.field, last.code, message)]
        return tuple(found)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _texts_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts_in(one)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool) and is_card_number(value):
        yield str(int(value))


def kind_of(value: Any) -> str:
    """What a JSON value is, for a sentence."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "a string" if isinstance(value, str) else _KINDS.get(type(value), "null")
