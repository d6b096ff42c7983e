"""What the document says of each operation besides its bodies: its id, tag, description, links, examples and headers.

Operation ids are names in generated clients: they are never changed within a version.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from features.domain.payment_fields import EXAMPLE

TAGS = {
    "decisions": "Payments, their decisions and the records of them.",
    "reports": "What became of a payment: outcomes and labels.",
    "lists": "Entities that are blocked, allowed or watched.",
    "service": "Health, metrics and this document.",
}


class Operation(NamedTuple):
    """One operation; `links` lead from its reply to operations about the same transaction."""

    name: str
    tag: str
    description: str
    links: tuple[str, ...] = ()


_ABOUT = ("getReceipt", "getDecision", "reportOutcome", "reportLabel")

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("/v1/score", "post"): Operation(
        "scorePayment", "decisions",
        "Send a payment before it is authorised and act on the decision. The same payment again gets the same answer, "
        "with `Idempotent-Replay: true`; another amount, currency, payer, instrument or payee under the same id is a "
        "conflict. The body may be compressed with gzip.",
        _ABOUT,
    ),
    ("/v1/score/batch", "post"): Operation(
        "scoreBatch", "decisions",
        "Each payment is decided, or refused with an error of its own, in the order in which it was sent. A batch that "
        "would usually miss its `deadline_ms` is refused with the number of payments that fit, and nothing is decided. "
        "The body may be compressed with gzip.",
    ),
    ("/v1/receipts/{transaction_id}", "get"): Operation(
        "getReceipt", "decisions",
        "The payment as it was recorded, the answer that was sent, the feature vector, and the digests of model, "
        "policy and code: what `verify` needs to compute the decision again.",
    ),
    ("/v1/decisions/{transaction_id}", "get"): Operation(
        "getDecision", "decisions",
        "What was decided and what became of it: the case and its verdict, the outcomes, and the label in force. "
        "`refused` are reports that were answered 202 and contradicted the payment when it came.",
    ),
    ("/v1/outcomes", "post"): Operation(
        "reportOutcome", "reports",
        "Send it as soon as it is known, for every payment that was sent to an issuer: declines of the issuer are "
        "features of the next payments. The same report again changes nothing.",
        _ABOUT[:2],
    ),
    ("/v1/labels", "post"): Operation(
        "reportLabel", "reports",
        "A payment never learns from a label before the time at which it was reported. The same report again changes "
        "nothing.",
        _ABOUT[:2],
    ),
    ("/v1/lists/{list}", "get"): Operation("listEntries", "lists", "A page of entries; `next` leads to the next one."),
    ("/v1/lists/{list}", "post"): Operation(
        "addEntries", "lists", "They are in force in every process within two seconds; each is an event of the ledger."
    ),
    ("/v1/lists/{list}", "delete"): Operation(
        "removeEntries", "lists", "They are out of force within two seconds; what they were stays in the ledger."
    ),
    ("/livez", "get"): Operation("getLiveness", "service", "Answers as long as the process does. Needs no key."),
    ("/readyz", "get"): Operation(
        "getReadiness", "service", "Names each check that fails; a balancer sends payments elsewhere while one does."
    ),
    ("/metrics", "get"): Operation(
        "getMetrics", "service", "Counters and histograms without personal data, in the text format of Prometheus."
    ),
}  # fmt: skip

_PATH_OF = {one.name: path for (path, _), one in OPERATIONS.items()}
_ID = "$response.body#/transaction_id"

#: Headers of replies, by their name.
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The caller's own id of the request if it sent one (1 to 128 visible ASCII characters without a "
        "card number), else a new ULID. It stands in the service's log.",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        "example": "01JD3Z6K9Q8R7S6T5V4W3X2Y1Z",
    },
    "Server-Timing": {
        "description": "What the reply took, milliseconds: `total` and, for a decision, the timings of its receipt.",
        "schema": {"type": "string"},
        "example": "total;dur=0.912, wait;dur=0.100, features;dur=0.042, model;dur=0.031, decision;dur=0.020",
    },
    "traceparent": {
        "description": "W3C Trace Context: the trace of the caller's `traceparent` with this service's own span. "
        "Absent if none was sent, or none that is valid.",
        "schema": {"type": "string"},
        "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    },
    "Retry-After": {
        "description": "Seconds after which the same request may be sent again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
}
_ON_EVERY_REPLY = ("X-Request-Id", "Server-Timing", "traceparent")
_RETRIED = ("429", "503")

_ANSWER = {
    "transaction_id": "t-81f3", "decision": "challenge", "score": 0.0713,
    "reasons": [
        {
            "code": "NEW_DEVICE_HIGH_SPEND", "text": "Spending on this device is unusual for this payer.",
            "feature": "payer_amount_sum_1h", "value": 480000.0, "contribution": 1.31,
        }
    ],
    "rules": [], "tier": "full", "missing": [], "warnings": [], "model": "risk@12", "policy": "7c1e0f", "features":
    "a93b52", "receipt_id": "01JD3Z6K9Q8R7S6T5V4W3X2Y1Z",
}  # fmt: skip
_REFUSED = {
    "error": {
        "code": "time_outside_window", "message": "event_time is more than five minutes behind the service's clock.",
        "field": "event_time", "repair": "Send a payment when it happens (within 5 minutes).",
    }
}  # fmt: skip
_YESTERDAY = {"transaction_id": "t-80a1", "event_time": "2026-11-10T00:00:00Z"}
#: Bodies of requests and of good replies, by operation; tests send the first and compare the second with its schema.
EXAMPLES: dict[str, tuple[Any, Any]] = {
    "scorePayment": (EXAMPLE, _ANSWER),
    "scoreBatch": (
        {"payments": [EXAMPLE, EXAMPLE | _YESTERDAY], "deadline_ms": 2_000}, {"decisions": [_ANSWER, _REFUSED]},
    ),
    "reportOutcome": (
        {"transaction_id": "t-81f3", "outcome": "authorised", "event_time": "2026-11-11T00:00:04Z"}, None,
    ),
    "reportLabel": (
        {
            "transaction_id": "t-81f3", "label": "fraud", "source": "chargeback",
            "reported_at": "2026-11-11T00:00:05Z",
        },
        None,
    ),
}  # fmt: skip


def described(paths: dict[str, Any]) -> dict[str, Any]:
    """The same paths, each operation with its id, tag, description, examples, links and the headers of its replies."""
    known = {(path, method) for path, operations in paths.items() for method in operations}
    for path, method in known:
        _describe(paths[path][method], OPERATIONS[path, method], set(paths))
    return paths


def _describe(operation: dict[str, Any], says: Operation, paths: set[str]) -> None:
    request, reply = EXAMPLES.get(says.name, (None, None))
    operation |= {"operationId": says.name, "tags": [says.tag]}
    operation["description"] = " ".join(text for text in (says.description, operation.get("description")) if text)
    if request is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = request
    for status, response in operation["responses"].items():
        names = (*_ON_EVERY_REPLY, *(("Retry-After",) if status in _RETRIED and says.tag != "service" else ()))
        response = operation["responses"][status] = {**response, "headers": dict(response.get("headers", {}))}
        response["headers"] |= {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        if status == "200" and reply is not None:
            response["content"] = {"application/json": {**response["content"]["application/json"], "example": reply}}
        links = {name: _link(name) for name in says.links if _PATH_OF[name] in paths}
        if status == "200" and links:
            response["links"] = links


def _link(name: str) -> dict[str, Any]:
    path, about = _PATH_OF[name], OPERATIONS[_PATH_OF[name], "get" if name.startswith("get") else "post"]
    link: dict[str, Any] = {"operationId": name, "description": about.description.split(": ")[0].split(". ")[0] + "."}
    if "{transaction_id}" in path:
        return {**link, "parameters": {"transaction_id": _ID}}
    return {**link, "requestBody": {"transaction_id": _ID}}
