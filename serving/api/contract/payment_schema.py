"""The schemas of a payment: as it is sent, and as a receipt repeats it; derived from the one table of its fields.

What is said of a required field is what the service insists on. An optional field is described as it should be sent: a
value of another kind costs no decision, and the reply names it in `warnings`. So vocabularies are examples, not enums.
"""

from __future__ import annotations

import json
from typing import Any

from features.catalogue.catalogue import CatalogueParameters
from features.domain.card_words import CARD_WORDS, THREE_DS_RESULTS
from features.domain.payment import CHANNELS, RAILS
from features.domain.payment_fields import (
    EXAMPLE,
    FIELDS,
    LONGEST_TEXT,
    Address,
    Attributes,
    CardFields,
    Degrees,
    Field,
    Flag,
    Identifier,
    Kind,
    Metadata,
    Moment,
    Pattern,
    Whole,
)

#: No control character, and one character that is no blank.
_PRINTABLE = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u0020\\u007f-\\u00a0][^\\u0000-\\u001f\\u007f-\\u009f]*$"
TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT, "pattern": _PRINTABLE}
TIME: dict[str, Any] = {"type": "string", "format": "date-time", "description": "RFC 3339 with an offset."}
_WORDS = {"rail": RAILS, "channel": CHANNELS, "currency": ("INR", "EUR", "USD", "JPY", "KWD")}
_OPEN = "An open vocabulary: another word costs no decision, and is named in `warnings`."
_CARD_TEXTS = {
    "bin": ("The issuer's number: the first 6 to 8 digits.", ["411111"]),
    "brand": ("The card scheme.", ["visa", "mastercard", "rupay", "unionpay"]),
    "issuer_country": ("ISO 3166-1 alpha-2.", ["IN"]),
}
_CARD_MEANING = {
    "funding": "What the card draws on.",
    "entry_mode": "How the card was read.",
    "avs": "What the issuer said of the billing address.",
    "cvv": "What the issuer said of the card verification value, which itself is never sent.",
}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def payment_schemas(parameters: CatalogueParameters) -> dict[str, Any]:
    """`Payment`, `RecordedPayment`, `Card` and `ThreeDs`, for a service with these catalogue parameters."""
    attributes: dict[str, Any] = {}
    for attribute in parameters.attributes:
        kind = {"type": ["string", "null"]} if attribute.categories else {"type": ["number", "null"]}
        attributes[attribute.name] = {**kind, "description": attribute.sentence}
    sent = {field.name: _sent(field, attributes) for field in FIELDS}
    recorded = {field.name: _recorded(field, attributes) for field in FIELDS}
    required = [field.name for field in FIELDS if field.required]
    return {
        "Payment": {
            "title": "Payment",
            "description": "A payment before it is authorised. Only the required fields must be right: what else "
            "cannot be used is named in the reply's `warnings`, and so is a field that is not known. Absent and null "
            "both mean not sent; missing is not zero, so do not invent values.",
            "type": "object",
            "required": required,
            "properties": sent,
            "examples": [EXAMPLE],
        },
        "RecordedPayment": {
            "title": "RecordedPayment",
            "description": "A payment as it was recorded: normalised, card numbers as tokens, and with a hash key "
            "instruments and addresses as pseudonyms. A required id that said nothing is the empty text.",
            "type": "object",
            "required": required,
            "properties": recorded,
        },
        **_card(),
    }


def _sent(field: Field, attributes: dict[str, Any]) -> dict[str, Any]:
    schema = _of_kind(field.kind)
    if isinstance(field.kind, Attributes):
        schema["properties"] = attributes
    if field.name in _WORDS:
        schema["examples"] = list(_WORDS[field.name])
    elif field.example is not None:
        schema["examples"] = [field.example]
    if not field.required:
        schema = _or_null(schema)
    # No `default`: with one, openapi-typescript makes an optional field of a request required.
    default = f"{json.dumps(field.default)} if not sent." if isinstance(field.default, int) else ""
    open_words = _OPEN if field.name in _WORDS else ""
    description = " ".join(text for text in (field.description, open_words, default) if text)
    if description:
        schema["description"] = description
    return schema


def _recorded(field: Field, attributes: dict[str, Any]) -> dict[str, Any]:
    schema = _of_kind(field.kind)
    schema = {name: schema[name] for name in ("type", "$ref", "format") if name in schema}
    if isinstance(field.kind, Attributes):
        schema["properties"] = attributes
    return schema


def _of_kind(kind: Kind) -> dict[str, Any]:
    match kind:
        case Moment():
            return dict(TIME)
        case Whole():
            return {"type": "integer", "minimum": kind.low, "maximum": kind.high}
        case Degrees():
            return {"type": "number", "minimum": -kind.limit, "maximum": kind.limit}
        case Attributes():
            return {"type": "object"}
        case CardFields():
            return {"$ref": "#/components/schemas/Card"}
        case Metadata():
            return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
        case Flag():
            return {"type": "boolean"}
        case Pattern() | Address():
            return {"type": "string"}
        case Identifier():
            return dict(TEXT)
        case _:  # a word of an open vocabulary
            return dict(TEXT)


def _card() -> dict[str, Any]:
    texts = {
        name: {"type": ["string", "null"], "description": description, "examples": examples}
        for name, (description, examples) in _CARD_TEXTS.items()
    }
    words = {
        name: {"type": ["string", "null"], "description": _CARD_MEANING[name], "examples": list(words)}
        for name, words in CARD_WORDS.items()
    }
    result = {
        "type": ["string", "null"],
        "description": "How the authentication ended (EMV 3-D Secure).",
        "examples": list(THREE_DS_RESULTS),
    }
    eci = {"type": ["string", "null"], "description": "Electronic commerce indicator, two digits.", "examples": ["05"]}
    return {
        "Card": {
            "title": "Card",
            "description": "What the caller knows of a card beyond its token. All of it is optional. Codes of the card "
            "networks that mean one of the words (EMV 3-D Secure, AVS, CVV, entry modes) are read too.",
            "type": "object",
            "properties": {**texts, **words, "three_ds": _or_null({"$ref": "#/components/schemas/ThreeDs"})},
        },
        "ThreeDs": {
            "title": "ThreeDs",
            "description": "The result of a 3-D Secure authentication.",
            "type": "object",
            "properties": {"result": result, "eci": eci},
        },
    }
