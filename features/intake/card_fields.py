"""Reads `card`: what the caller knows of a card beyond its token (EMV 3DS, entry modes, AVS and CVV results)."""

from __future__ import annotations

from typing import Any

from features.domain.card_words import CARD_WORDS, WORDS, card_word
from features.domain.payment import Card, ThreeDs
from features.domain.payment_fields import BIN, ECI
from features.intake.findings import Findings
from features.intake.normalise import country_word, id_text, is_country, plain_text, says_nothing, spelled_word

#: What a value is not, in a warning.
_WANTED = {
    "bin": "no 6 to 8 digits",
    "eci": "no 2 digits",
    "issuer_country": "no country code (ISO 3166-1 alpha-2)",
    "brand": "no name of a card scheme",
    **{name: f"none of {', '.join(words)}, and no code of the card networks for one" for name, words in WORDS.items()},
}
_TEXTS = ("bin", "brand", "issuer_country", *CARD_WORDS)


def card_of(value: Any, findings: Findings) -> Card | None:
    """The card fields that can be used; None if none can."""
    sent = _object(value, "card", findings)
    known: dict[str, Any] = {}
    for name, one in sent.items():
        where = f"card.{findings.name_of(name)}"
        if name == "three_ds":
            known[name] = _three_ds(one, findings)
        elif name in _TEXTS:
            known[name] = _word(name, one, where, findings)
        else:
            findings.warn(where, "unknown_field", "The field is unknown", "it was not kept", leak=one)
    known = {name: one for name, one in known.items() if one is not None}
    return Card(**known) if known else None


def _three_ds(value: Any, findings: Findings) -> ThreeDs | None:
    sent = _object(value, "card.three_ds", findings)
    known: dict[str, str] = {}
    for name, one in sent.items():
        where = f"card.three_ds.{findings.name_of(name)}"
        if name not in ("result", "eci"):
            findings.warn(where, "unknown_field", "The field is unknown", "it was not kept", leak=one)
        elif (word := _word(name, one, where, findings)) is not None:
            known[name] = word
    return ThreeDs(**known) if known else None


def _object(value: Any, where: str, findings: Findings) -> dict[str, Any]:
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if one is not None}
    if value is not None:
        findings.warn(where, "invalid_value", "The value is no object", "it was left out", leak=value)
    return {}


def _word(name: str, value: Any, where: str, findings: Findings) -> str | None:
    sent = id_text(value)
    if sent is None:
        findings.warn(where, "invalid_value", "The value is no text", "it was left out", leak=value)
        return None
    text = plain_text(sent)
    if not text:
        return None
    if (word := _meaning(name, text)) is not None:
        return word
    before = len(findings.warnings) + len(findings.problems)
    findings.without_card_number(where, text)  # a whole card number in place of its first digits
    if len(findings.warnings) + len(findings.problems) == before:
        nothing = says_nothing(text)
        code = "not_sent" if nothing else "invalid_value"
        what = "The value says nothing" if nothing else f"The value is {_WANTED[name]}"
        findings.warn(where, code, what, "it was left out")
    return None


def _meaning(name: str, text: str) -> str | None:
    if name == "bin":
        return text if BIN.fullmatch(text) else None
    if name == "eci":
        return text.zfill(2) if ECI.fullmatch(text) else None
    if name == "issuer_country":
        word = country_word(text)
        return word if word is not None and is_country(word) else None
    if name == "brand":
        fits = len(text) <= 32 and text.isprintable() and not says_nothing(text) and not any(map(str.isdigit, text))
        return text.lower() if fits else None
    return card_word(name, spelled_word(text))
