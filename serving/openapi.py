"""The OpenAPI document: the contract of DESIGN §3 and nothing else, derived from the words of the domain."""

from __future__ import annotations

from typing import Any

from features.catalog import CatalogParameters
from features.checks import LONGEST_DEADLINE_MS, LONGEST_TEXT
from features.money import CURRENCY_CODES, LARGEST_AMOUNT_MINOR
from features.payment import CHANNELS, LABEL_SOURCES, LABELS, OUTCOMES, RAILS
from features.policy import DECISIONS
from serving.http import FLAGS
from serving.judge import TIERS

_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
_TIME = {"type": "string", "format": "date-time", "description": "RFC 3339 with an offset."}
_COUNTRY = {"type": "string", "pattern": "^[A-Z]{2}$", "description": "ISO 3166-1 alpha-2."}

EXAMPLE: dict[str, Any] = {
    "transaction_id": "t-81f3",
    "event_time": "2026-11-11T00:00:03.120Z",
    "amount_minor": 125000,
    "currency": "INR",
    "rail": "upi",
    "channel": "qr_static",
    "payer_id": "u-1042",
    "instrument_id": "vpa-77ab",
    "payee_id": "m-559",
    "device_id": "d-9c1",
    "ip": "203.0.113.9",
    "mcc": "5411",
    "payer_country": "IN",
    "payee_country": "IN",
    "latitude": 12.97,
    "longitude": 77.59,
    "deadline_ms": 80,
}


def document(parameters: CatalogParameters | None = None, keyed: bool = False) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a service with these catalogue parameters; `keyed` when it asks for keys."""
    schemas = _schemas(parameters or CatalogParameters())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "riskgate",
            "version": "1",
            "description": "Scores a payment for fraud before it is authorised. Every valid payment gets a decision; "
            "`tier` says how complete the scoring was. The one exception: far past saturation, and before the service "
            "is ready, a payment is refused at once (503 with Retry-After) and the caller's own default applies.",
        },
        "paths": _paths() if keyed else _without_key(_paths()),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. The roles an operation names are scopes of the key: "
                    + ", ".join(f"`{scope}` {what}" for scope, what in SCOPES.items())
                    + ". A service without any key listens on loopback only and asks for none.",
                }
            },
        },
    }


def _ref(name: str) -> dict[str, Any]:
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
    return {**schema, "type": [schema["type"], "null"]}


def _one_of(words: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


def _payment(parameters: CatalogParameters) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for attribute in parameters.attributes:
        kind: dict[str, Any] = {"type": "string", **_TEXT} if attribute.categories else {"type": "number"}
        attributes[attribute.name] = {**kind, "description": attribute.sentence}
    # Absent and null are the same: not sent.
    optional = {
        "device_id": _or_null(_TEXT),
        "ip": {
            "anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}, {"type": "null"}],
            "description": "IPv4 or IPv6.",
        },
        "mcc": _or_null({"type": "string", "pattern": "^[0-9]{4}$", "description": "ISO 18245."}),
        "payer_country": _or_null(_COUNTRY),
        "payee_country": _or_null(_COUNTRY),
        "latitude": _or_null({"type": "number", "minimum": -90, "maximum": 90}),
        "longitude": _or_null({"type": "number", "minimum": -180, "maximum": 180}),
        "attributes": {
            "type": "object",
            "properties": attributes,
            "additionalProperties": False,
            "description": "The caller's own fields, as the catalogue declares them.",
        },
        "deadline_ms": _or_null({"type": "integer", "minimum": 1, "maximum": LONGEST_DEADLINE_MS, "default": 80}),
    }
    required = {
        "transaction_id": _TEXT,
        "event_time": {**_TIME, "description": "Within five minutes of the service's clock; with an offset."},
        "amount_minor": {
            "type": "integer",
            "minimum": 0,
            "maximum": LARGEST_AMOUNT_MINOR,
            "description": "Minor units of `currency`, e.g. paise or cents.",
        },
        "currency": {**_one_of(CURRENCY_CODES), "description": "ISO 4217."},
        "rail": _one_of(RAILS),
        "channel": _one_of(CHANNELS),
        "payer_id": _TEXT,
        "instrument_id": {**_TEXT, "description": "A token; never a clear card number."},
        "payee_id": _TEXT,
    }
    return {**_object({**required, **optional}, tuple(optional)), "example": EXAMPLE}


def _schemas(parameters: CatalogParameters) -> dict[str, Any]:
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
            "reasons": {"type": "array", "items": _ref("Reason"), "maxItems": 4},
            "rules": {"type": "array", "items": {"type": "string"}},
            "tier": _one_of(TIERS),
            "missing": {"type": "array", "items": {"type": "string"}},
            "model": {"type": "string"},
            "policy": {"type": "string"},
            "features": {"type": "string"},
            "receipt_id": {**_nullable("string"), "description": "Null when nothing was recorded (dry run)."},
        }
    )
    problem = _object(
        {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "field": _nullable("string"),
            "repair": {"type": "string"},
        }
    )
    error = _object(
        {
            "error": _object(
                {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "repair": {"type": "string"},
                    "field": {"type": "string"},
                    "problems": {"type": "array", "items": _ref("Problem")},
                },
                ("field", "problems"),
            )
        }
    )
    receipt = _object(
        {
            "seq": {"type": "integer", "description": "Place in the ledger."},
            "payment": _ref("Payment"),
            "answer": _ref("Decision"),
            "receipt": {"type": "object", "description": "Vector as served, events seen, digests, tier, timings."},
            "values": {"type": ["object", "null"], "description": "The vector by feature name; null is missing."},
        }
    )
    return {
        "Payment": _payment(parameters),
        "Decision": decision,
        "Reason": reason,
        "Outcome": _object({"transaction_id": _TEXT, "outcome": _one_of(OUTCOMES), "event_time": _TIME}),
        "Label": _object(
            {
                "transaction_id": _TEXT,
                "label": _one_of(LABELS),
                "source": _one_of(LABEL_SOURCES),
                "reported_at": _TIME,
            }
        ),
        "Recorded": _object({"transaction_id": {"type": "string"}, "recorded": {"type": "string"}}),
        "Batch": _object({"payments": {"type": "array", "maxItems": 1000, "items": _ref("Payment")}}),
        "Decisions": _object({"decisions": {"type": "array", "items": {"anyOf": [_ref("Decision"), _ref("Error")]}}}),
        "Receipt": receipt,
        "Ready": _object(
            {"ready": {"type": "boolean"}, "checks": {"type": "object", "additionalProperties": {"type": "string"}}}
        ),
        "Problem": problem,
        "Error": error,
    }


#: What each scope of a key lets a caller do.
SCOPES = {
    "score": "decides about payments",
    "feedback": "reports outcomes and labels",
    "read": "reads receipts and metrics",
    "admin": "everything",
}

_ERRORS = {
    "400": "Malformed: not one JSON object.",
    "401": "No key, or a wrong or expired one.",
    "403": "The key has not the scope.",
    "404": "Unknown transaction.",
    "408": "The body did not arrive in time.",
    "409": "Same id with other content, or a contradicted report.",
    "413": "The body is too large.",
    "422": "An invalid value; every problem at once.",
    "429": "Over the caller's rate.",
    "503": "Refused at once; see Retry-After.",
}
_COMMON = ("400", "401", "403", "413", "422", "429", "503")


def _replies(schema: str, also: tuple[str, ...] = (), replay: bool = False) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Answered.", "content": {"application/json": {"schema": _ref(schema)}}}
    if replay:
        good["headers"] = {
            "Idempotent-Replay": {"schema": {"type": "string"}, "description": "`true` when this was answered before."}
        }
    replies = {"200": good}
    for status in sorted((*_COMMON, *also)):
        replies[status] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": _ref("Error")}},
        }
    return replies


def _needs(scope: str) -> dict[str, Any]:
    return {"security": [{"key": [scope]}]}


def _without_key(paths: dict[str, Any]) -> dict[str, Any]:
    for operations in paths.values():
        for operation in operations.values():
            if operation["security"]:
                operation["security"].append({})
    return paths


def _post(summary: str, scope: str, body: str, reply: str, also: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}},
            "responses": _replies(reply, ("408", *also), replay=body != "Batch"),
            **_needs(scope),
        }
    }


def _get(summary: str, content: str, schema: dict[str, Any], statuses: tuple[str, ...] = ("200",)) -> dict[str, Any]:
    reply = {"description": "Answered.", "content": {content: {"schema": schema}}}
    return {"get": {"summary": summary, "responses": dict.fromkeys(statuses, reply), "security": []}}


def _flag(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(FLAGS)}
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _paths() -> dict[str, Any]:
    score = _post("Decide about one payment.", "score", "Payment", "Decision", ("409",))
    score["post"]["parameters"] = [
        _flag("explain", "Reasons for an approved payment too."),
        _flag("dry_run", "Decide and explain with nothing recorded and nothing counted."),
    ]
    receipt = {
        "get": {
            "summary": "All that is needed to reproduce one decision.",
            "parameters": [{"name": "transaction_id", "in": "path", "required": True, "schema": _TEXT}],
            "responses": _replies("Receipt", ("404",)),
            **_needs("read"),
        }
    }
    metrics = _get("Counters and histograms for Prometheus.", "text/plain", {"type": "string"})
    for status in ("401", "403", "429", "503"):
        metrics["get"]["responses"][status] = _replies("Error")[status]
    metrics["get"] |= _needs("read") | {"description": "From the service's own machine no key is needed."}
    return {
        "/v1/score": score,
        "/v1/score/batch": _post("Decide about up to 1,000 payments, in order.", "score", "Batch", "Decisions"),
        "/v1/outcomes": _post("Tell what the issuer then did.", "feedback", "Outcome", "Recorded", ("404",)),
        "/v1/labels": _post("Tell whether it was fraud.", "feedback", "Label", "Recorded", ("404", "409")),
        "/v1/receipts/{transaction_id}": receipt,
        "/livez": _get("Whether the process answers.", "application/json", {"type": "object"}),
        "/readyz": _get(
            "Whether payments are scored in full, and if not why.", "application/json", _ref("Ready"), ("200", "503")
        ),
        "/metrics": metrics,
    }
