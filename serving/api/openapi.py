"""The OpenAPI document of the HTTP contract, derived from the domain's types and constants."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from features.catalogue.catalogue import CatalogueParameters
from serving.api import list_schemas
from serving.api.contract.operations import HEADERS, TAGS, described
from serving.api.contract.payment_schema import TEXT
from serving.api.query_flags import MEANING, TAKEN
from serving.api.schemas import ref, schemas_of


def document(parameters: CatalogueParameters | None = None, keyed: bool = False) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a service with these catalogue parameters; `keyed` if callers need keys.

    It is the caller's own: tools write into the documents they read (schemathesis does), and parts are constants here.
    """
    schemas = schemas_of(parameters or CatalogueParameters())
    return deepcopy(_document(schemas, keyed))


def _document(schemas: dict[str, Any], keyed: bool) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "riskgate",
            "version": "1",
            "summary": "Fraud decisions for payments before they are authorised.",
            "contact": {"name": "The team that runs this service"},
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            "description": "Scores a payment for fraud before it is authorised. Every valid payment gets a decision; "
            "`tier` says how complete the scoring was. The one exception: far past saturation, and before the service "
            "is ready, a payment is refused immediately (503 with Retry-After) and the caller's own default applies.",
        },
        "servers": [{"url": "/", "description": "The service that shows this document."}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": described(_paths() if keyed else _without_key(_paths())),
        "components": {
            "schemas": schemas,
            "headers": HEADERS,
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


#: What each scope of a key lets a caller do.
SCOPES = {
    "score": "decides about payments, and reads their decisions with what became of them",
    "feedback": "reports outcomes and labels",
    "read": "reads receipts and metrics",
    "admin": "everything",
}

_ERRORS = {
    "400": "Malformed: not one JSON object.",
    "401": "No key, or a wrong or expired one.",
    "403": "The key lacks the scope; without keys: not a loopback `Host`, or a foreign `Origin`.",
    "404": "Unknown transaction or list.",
    "408": "The body did not arrive in time.",
    "409": "Same id with other content, or a contradicted report.",
    "413": "The body is too large.",
    "415": "Without keys: the body has the type of a form or a text.",
    "422": "An invalid value or an unknown query flag; lists every problem.",
    "429": "Over the caller's rate.",
    "503": "Refused immediately; see Retry-After.",
}
_COMMON = ("400", "401", "403", "413", "422", "429", "503")


def _error(status: str) -> dict[str, Any]:
    return {"description": _ERRORS[status], "content": {"application/json": {"schema": ref("Error")}}}


def _replies(schema: str, also: tuple[str, ...] = (), replay: bool = False) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Answered.", "content": {"application/json": {"schema": ref(schema)}}}
    if replay:
        good["headers"] = {
            "Idempotent-Replay": {"schema": {"type": "string"}, "description": "`true` when this was answered before."}
        }
    replies = {"200": good}
    for status in sorted((*_COMMON, *also)):
        replies[status] = _error(status)
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
            "requestBody": {"required": True, "content": {"application/json": {"schema": ref(body)}}},
            "responses": _replies(reply, ("408", "415", *also), replay=body in ("Payment", "Outcome", "Label")),
            **_needs(scope),
        }
    }


def _report(summary: str, body: str, reply: str, also: tuple[str, ...] = ()) -> dict[str, Any]:
    operation = _post(summary, "feedback", body, reply, also)
    responses = operation["post"]["responses"]
    waits = {**responses["200"], "description": "The payment is not known here: the report waits for it."}
    operation["post"]["responses"] = {"200": responses.pop("200"), "202": waits, **responses}
    return operation


def _of_transaction(summary: str, scope: str, reply: str) -> dict[str, Any]:
    return {
        "get": {
            "summary": summary,
            "parameters": [{"name": "transaction_id", "in": "path", "required": True, "schema": TEXT}],
            "responses": _replies(reply, ("404",)),
            **_needs(scope),
        }
    }


def _get(summary: str, content: str, schema: dict[str, Any], statuses: tuple[str, ...] = ("200",)) -> dict[str, Any]:
    reply = {"description": "Answered.", "content": {content: {"schema": schema}}}
    replies = {**dict.fromkeys(statuses, reply), "422": _error("422")}
    return {"get": {"summary": summary, "responses": dict(sorted(replies.items())), "security": []}}


def _flags(path: str) -> list[dict[str, Any]]:
    schema = {"type": "boolean"}  # clients write true and false; 1 and 0 are read too
    return [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": MEANING[name]}
        for name in TAKEN[path]
    ]


def _lists() -> dict[str, Any]:
    path = {"parameters": [list_schemas.NAME]}
    page = {
        "summary": "Entries of a list, in the order in which they were added.",
        "parameters": [list_schemas.NAME, *list_schemas.PAGE_QUERY],
        "responses": _replies("ListPage", ("404",)),
        **_needs("admin"),
    }
    add = _post(
        "Add entries, or replace those of the same kind and value.", "admin", "NewEntries", "ChangedList", ("404",)
    )
    remove = _post("Remove entries.", "admin", "EntryNames", "ChangedList", ("404",))
    return {"get": page, "post": add["post"] | path, "delete": remove["post"] | path}


def _paths() -> dict[str, Any]:
    score = _post("Decide about one payment.", "score", "Payment", "Decision", ("409",))
    batch = _post("Decide about up to 1,000 payments, in order.", "score", "Batch", "Decisions")
    score["post"]["parameters"] = _flags("/v1/score")
    batch["post"]["parameters"] = _flags("/v1/score/batch")
    receipt = _of_transaction("Everything needed to reproduce one decision.", "read", "Receipt")
    decision = _of_transaction("Decision, case, outcomes and label of one payment.", "score", "PaymentStatus")
    metrics = _get("Counters and histograms for Prometheus.", "text/plain", {"type": "string"})
    for status in ("401", "403", "429", "503"):
        metrics["get"]["responses"][status] = _error(status)
    metrics["get"] |= _needs("read") | {"description": "From the service's own machine no key is needed."}
    return {
        "/v1/score": score,
        "/v1/score/batch": batch,
        "/v1/outcomes": _report("Report what became of a payment.", "Outcome", "RecordedOutcome", ("409",)),
        "/v1/labels": _report("Report whether it was fraud.", "Label", "RecordedLabel"),
        "/v1/decisions/{transaction_id}": decision,
        "/v1/receipts/{transaction_id}": receipt,
        "/v1/lists/{list}": _lists(),
        "/livez": _get("Whether the process answers.", "application/json", ref("Live")),
        "/readyz": _get(
            "Whether payments are scored in full, and if not why.", "application/json", ref("Ready"), ("200", "503")
        ),
        "/metrics": metrics,
    }
