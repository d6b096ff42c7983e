"""The JSON schemas of the contract: payment, decision, receipt, error; derived from the domain's types."""

from __future__ import annotations

from typing import Any

import msgspec

from features.bundle.policy import DECISIONS
from features.catalogue.catalogue import CatalogueParameters
from features.domain.payment import LABEL_SOURCES, LABELS, OUTCOMES
from features.domain.payment_fields import (
    EXAMPLE,
    FIELDS,
    LONGEST_TEXT,
    Address,
    Attributes,
    Degrees,
    Kind,
    Moment,
    Pattern,
    Whole,
    Word,
)
from serving.decision.evaluator import TIERS
from serving.decision.receipt import Receipt as ReceiptBody
from serving.messages import Error, Live, Ready, Recorded

TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
_TIME = {"type": "string", "format": "date-time", "description": "RFC 3339 with an offset."}


def ref(name: str) -> dict[str, Any]:
    """A reference to the schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = (), extra: bool = False) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": extra,
    }


def _nullable(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _one_of(words: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


def _payment(parameters: CatalogueParameters) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for attribute in parameters.attributes:
        kind: dict[str, Any] = {"type": "string", **TEXT} if attribute.categories else {"type": "number"}
        attributes[attribute.name] = {**kind, "description": attribute.sentence}
    properties: dict[str, Any] = {}
    for field in FIELDS:
        schema = _of_kind(field.kind)
        if isinstance(field.kind, Attributes):
            schema["properties"] = attributes
        elif not field.required:  # absent and null are the same: not sent
            schema = _or_null(schema)
        if field.description:
            schema["description"] = field.description
        if isinstance(field.default, int):
            schema["default"] = field.default
        properties[field.name] = schema
    optional = tuple(field.name for field in FIELDS if not field.required)
    return {**_object(properties, optional), "example": EXAMPLE}


def _of_kind(kind: Kind) -> dict[str, Any]:
    match kind:
        case Moment():
            return dict(_TIME)
        case Whole():
            return {"type": "integer", "minimum": kind.low, "maximum": kind.high}
        case Word():
            return _one_of(kind.words)
        case Pattern():
            return {"type": "string", "pattern": f"^{kind.pattern.pattern}$"}
        case Address():
            return {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}
        case Degrees():
            return {"type": "number", "minimum": -kind.limit, "maximum": kind.limit}
        case Attributes():
            return {"type": "object", "additionalProperties": False}
        case _:
            return dict(TEXT)


def _derived() -> dict[str, Any]:
    """The schemas of replies that are derived from their types alone."""
    _, shapes = msgspec.json.schema_components(
        [Error, Live, Ready, Recorded, ReceiptBody], ref_template="#/components/schemas/{name}"
    )
    for shape in shapes.values():
        shape["additionalProperties"] = False
        shape["description"] = " ".join(shape["description"].split())
        for field in shape["properties"].values():
            field.pop("default", None)  # a default matters to a sender, and these are replies
    receipt = shapes["ReceiptBody"] = shapes.pop("Receipt")
    receipt["title"] = "ReceiptBody"  # client generators name classes by the title: it stands once
    receipt["description"] = (
        "What one decision was made from. `seen` counts the events that the state of payer, instrument, device, ip, "
        "payee and pair held (-1: not sent); digests are SHA-256 in hex, timings microseconds."
    )
    receipt["properties"]["vector"]["description"] = "The features as served: float64, little endian; NaN is missing."
    return shapes


def schemas_of(parameters: CatalogueParameters) -> dict[str, Any]:
    """Every schema by name, for a service with these catalogue parameters."""
    reason = _object(
        {
            "code": {"type": "string"},
            "text": {"type": "string"},
            "feature": _nullable("string"),
            "value": _nullable("number"),
            "contribution": {**_nullable("number"), "description": "Share of the score in log-odds; null for a rule."},
        }
    )
    decision = _object(
        {
            "transaction_id": {"type": "string"},
            "decision": _one_of(DECISIONS),
            "score": {**_nullable("number"), "description": "Calibrated probability of fraud; null without a model."},
            "reasons": {"type": "array", "items": ref("Reason"), "maxItems": 4},
            "rules": {"type": "array", "items": {"type": "string"}},
            "tier": _one_of(TIERS),
            "missing": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What the decision had to do without: features, profiles, state, model, contributions, "
                "ledger; `breaker:model` or `breaker:` and a rule where an open breaker softened a decline.",
            },
            "model": {"type": "string"},
            "policy": {"type": "string"},
            "features": {"type": "string"},
            "receipt_id": {**_nullable("string"), "description": "Null when nothing was recorded (dry run)."},
        }
    )
    receipt = _object(
        {
            "seq": {"type": "integer", "description": "Place in the ledger."},
            "payment": ref("Payment"),
            "answer": ref("Decision"),
            "receipt": ref("ReceiptBody"),
            "values": {"type": ["object", "null"], "description": "The vector by feature name; null is missing."},
        }
    )
    return {
        "Payment": _payment(parameters),
        "Decision": decision,
        "Reason": reason,
        "Outcome": _object({"transaction_id": TEXT, "outcome": _one_of(OUTCOMES), "event_time": _TIME}),
        "Label": _object(
            {
                "transaction_id": TEXT,
                "label": _one_of(LABELS),
                "source": _one_of(LABEL_SOURCES),
                "reported_at": _TIME,
            }
        ),
        "Batch": _object({"payments": {"type": "array", "maxItems": 1000, "items": ref("Payment")}}),
        "Decisions": _object({"decisions": {"type": "array", "items": {"anyOf": [ref("Decision"), ref("Error")]}}}),
        "Receipt": receipt,
        **_derived(),
    }
