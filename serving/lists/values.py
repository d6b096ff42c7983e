"""Reads entries as people write them: each value becomes the one that payments carry for the same thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from features.domain.payment_fields import FIRST_YEAR, LAST_YEAR, LONGEST_TEXT
from features.errors import Problem, Refused
from features.intake.card_numbers import holds_card_number, mask_card_numbers
from features.intake.normalise import (
    address_word,
    category_word,
    country_word,
    is_country,
    plain_text,
    says_nothing,
)
from features.intake.parse import milliseconds
from features.intake.pseudonyms import Pseudonyms, is_pseudonym
from serving.lists.entry import BUNDLE, FIELDS, KINDS, NewEntry
from serving.lists.networks import is_network, network_word

LONGEST_REASON, LONGEST_AUTHOR = 200, 64
#: With a hash key all addresses of one IPv6 /64 have the same pseudonym.
LONGEST_HASHED_PREFIX = 64
#: What systems write where they have no address or category; payments never carry it.
_NO_ADDRESSES = ("0.0.0.0", "::")
_NO_CATEGORY = "0000"

#: A text with its card numbers replaced by tokens (and the first token), as `Tokens.replace` gives it.
Tokenise = Callable[[str], tuple[str, str | None]]
_FIELDS = frozenset(("kind", "value", "reason", "expires_at"))


class Unfit(Refused):
    """A part of an entry that cannot be used; `problem` says why."""

    code = Refused.code

    def __init__(self, code: str, message: str, field: str, repair: str) -> None:
        self.problem = Problem(code, message, field, repair)
        super().__init__([self.problem])


class EntryReader:
    """Reads entries for one ledger: with `names` it holds pseudonyms, with `tokenise` tokens of card numbers."""

    def __init__(self, names: Pseudonyms | None = None, tokenise: Tokenise | None = None) -> None:
        self._names = names
        self._tokenise = tokenise

    def entry(self, raw: object, now_ms: int, *, to_remove: bool = False) -> NewEntry:
        """The entry of a JSON object; one to remove needs kind and value only.

        Raises: Unfit.
        """
        if not isinstance(raw, Mapping):
            raise Unfit("invalid_type", "is no object.", "", "Send an object with kind and value.")
        for name in raw:
            if name not in _FIELDS:
                raise Unfit(
                    "unknown_field", "has a field that is not known.", "", f"Send {', '.join(sorted(_FIELDS))}."
                )
        kind, value = raw.get("kind"), self.value(raw.get("kind"), raw.get("value"), to_remove=to_remove)
        assert isinstance(kind, str)
        if to_remove:
            return NewEntry(kind, value)
        return NewEntry(kind, value, self.reason(raw.get("reason")), self.expiry(raw.get("expires_at"), now_ms))

    def value(self, kind: object, value: object, *, to_remove: bool = False) -> str:
        """The stored form of a value; an address that stands for nothing can only be removed.

        Raises: Unfit.
        """
        kind = known_kind(kind)
        text = _text(value, "value", LONGEST_TEXT)
        if kind == "country":
            word = country_word(text)
            if word is None or not is_country(word):
                raise Unfit("invalid_value", "is no country code.", "value", "Send two letters (ISO 3166-1 alpha-2).")
            return word
        if kind == "mcc":
            code = category_word(text)
            if code is None or (code == _NO_CATEGORY and not to_remove):
                raise Unfit("invalid_value", "is no merchant category code.", "value", "Send four digits (ISO 18245).")
            return code
        if kind == "ip":
            return self._address(text, to_remove)
        if says_nothing(text):
            raise _not_sent("Send an id.")
        text = self._without_card_numbers(text, "value")
        return text if self._names is None else self._names.of(kind, text)

    def reason(self, reason: object) -> str:
        """Why the entry is there, without card numbers.

        Raises: Unfit.
        """
        return self._without_card_numbers(_text(reason, "reason", LONGEST_REASON), "reason")

    def author(self, name: str) -> str:
        """Who makes a change, without card numbers.

        Raises: Unfit.
        """
        text = self._without_card_numbers(_text(name, "author", LONGEST_AUTHOR), "author")
        if text == BUNDLE:
            raise Unfit("invalid_author", "`bundle` names the entries of a bundle.", "author", "Send another name.")
        if len(text) > LONGEST_AUTHOR:
            raise Unfit(
                "invalid_text", f"is longer than {LONGEST_AUTHOR} characters with its tokens.", "author",
                "Send a name without card numbers.",
            )  # fmt: skip
        return text

    def expiry(self, moment: object, now_ms: int) -> int | None:
        """When the entry ends, ms UTC; None for never.

        Raises: Unfit.
        """
        if moment is None or moment == "":
            return None
        at_ms = _milliseconds(moment)
        if at_ms is None:
            raise Unfit(
                "invalid_time", "is no moment.", "expires_at",
                "Send RFC 3339 with an offset such as 2027-01-31T00:00:00Z, or a day such as 2027-01-31 (0:00 UTC).",
            )  # fmt: skip
        if at_ms <= now_ms:
            raise Unfit("out_of_range", "has passed already.", "expires_at", "Send a moment to come, or leave it out.")
        return at_ms

    def hide(self, text: str) -> str:
        """A text as it may be shown: with tokens in place of card numbers, or asterisks without a key."""
        return mask_card_numbers(text) if self._tokenise is None else self._tokenise(text)[0]

    def _address(self, text: str, to_remove: bool) -> str:
        if is_pseudonym("ip", text):
            if self._names is not None:
                return text
        elif (word := network_word(text) if is_network(text) else address_word(text)) is not None:
            if word.endswith("/0"):
                raise Unfit("out_of_range", "is every address there is.", "value", "Name a smaller network.")
            if word in _NO_ADDRESSES and not to_remove:
                raise _not_sent("Send an address or a network.")
            if self._names is None:
                return word
            if not is_network(word):
                return self._names.ip(word)
            if ":" in word and int(word.partition("/")[2]) > LONGEST_HASHED_PREFIX:
                raise Unfit(
                    "out_of_range", "is smaller than the /64 by which hashed IPv6 addresses are kept.", "value",
                    "Name its /64.",
                )  # fmt: skip
            return word
        raise Unfit(
            "invalid_ip", "is no IP address or network.", "value",
            "Send IPv4 or IPv6, or a network such as 203.0.113.0/24.",
        )  # fmt: skip

    def _without_card_numbers(self, text: str, field: str) -> str:
        if self._tokenise is not None:
            return self._tokenise(text)[0]
        if holds_card_number(text):
            raise Unfit("card_number", "looks like a clear card number.", field, "Send its token.")
        return text


def _not_sent(repair: str) -> Unfit:
    return Unfit("not_sent", "stands for no value: it would name no one, or everyone.", "value", repair)


def known_kind(kind: object) -> str:
    """The kind, if there is one of that name.

    Raises: Unfit.
    """
    if not isinstance(kind, str) or kind not in FIELDS:
        raise Unfit("unknown_kind", "is no kind of entry.", "kind", f"Send one of {', '.join(KINDS)}.")
    return kind


def _text(value: object, field: str, longest: int) -> str:
    if not isinstance(value, str) or not (text := plain_text(value)):
        raise Unfit("missing", "is missing, blank or no text.", field, f"Send a text of 1 to {longest} characters.")
    if len(text) > longest:
        raise Unfit(
            "invalid_text", f"has {len(text):,} characters, {longest} are possible.", field, "Send a shorter text."
        )
    if (place := next((place for place, one in enumerate(text, 1) if not one.isprintable()), None)) is not None:
        raise Unfit(
            "invalid_text", f"is not printable: character {place} is U+{ord(text[place - 1]):04X}.", field,
            "Leave that character out.",
        )  # fmt: skip
    return text


def _milliseconds(moment: object) -> int | None:
    if not isinstance(moment, str) or len(moment) > 40:
        return None
    text = moment.strip()
    try:
        if len(text) == 10:
            found = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        else:
            found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None or not FIRST_YEAR <= found.year < LAST_YEAR:
        return None
    return milliseconds(found)
