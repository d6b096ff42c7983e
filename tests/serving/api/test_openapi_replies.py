"""Real replies of every route are what the OpenAPI document says: ready and not, with notes, errors and receipts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from features.intake.parse import payment_from
from serving.api.openapi import document
from serving.errors import LedgerError
from tests.serving.asgi import Asked
from tests.serving.scoring_world import PARAMETERS, START_MS, payment, rfc3339, suspicious

DOCUMENT = document(PARAMETERS)


@pytest.fixture
def asked(tmp_path: Path, bundle: Path) -> Iterator[Asked]:
    one = Asked(tmp_path / "var", bundle)
    yield one
    one.close()


def checked(asked: Asked, method: str, path: str, status: int, body: Any = None, route: str | None = None) -> Any:
    """The reply, found to be one that the document promises for this route and status."""
    reply: httpx.Response = asked.ask(method, path, body)
    assert reply.status_code == status, reply.text
    promised = DOCUMENT["paths"][route or path.partition("?")[0]][method.lower()]["responses"][str(status)]
    schema = promised["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(reply.json())
    return reply.json()


def test_the_reply_of_readyz_matches_its_schema_in_every_state(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    starting = checked(asked, "GET", "/readyz", 503)
    assert not starting["ready"]
    asked.load()
    ready = checked(asked, "GET", "/readyz", 200)
    assert "breakers" in ready["checks"]
    assert "notes" not in ready
    monkeypatch.setattr(asked.runtime.watcher, "refused", "risk@2 cannot be served: its model is gone.")
    noted = checked(asked, "GET", "/readyz", 200)
    assert noted["notes"] == {"bundle": "risk@2 cannot be served: its model is gone."}
    asked.engine.ledger_failed(payment_from(payment("full"), asked.engine.catalogue), LedgerError("disk full"))
    assert not checked(asked, "GET", "/readyz", 503)["ready"]
    monkeypatch.setattr(asked.application, "runtime", None)
    assert checked(asked, "GET", "/readyz", 503)["checks"] == {"service": "The service is starting."}


def test_replies_of_every_other_route_match_their_schemas(asked: Asked) -> None:
    asked.load()
    assert checked(asked, "GET", "/livez", 200) == {"live": True}
    for one in (payment("a"), suspicious("b"), payment("c", attributes=None, device_id=None, ip=None)):
        checked(asked, "POST", "/v1/score", 200, one)
        checked(asked, "POST", "/v1/score?dry_run=1", 200, one)
        found = checked(
            asked, "GET", f"/v1/receipts/{one['transaction_id']}", 200, None, "/v1/receipts/{transaction_id}"
        )
        assert found["receipt"]["vector"]
        look_at_decision(asked, one["transaction_id"])
    checked(asked, "POST", "/v1/score/batch?explain=1", 200, {"payments": [payment("d"), suspicious("e"), 7, {}]})
    report = {"transaction_id": "a", "outcome": "settled", "event_time": rfc3339(START_MS + 900)}
    checked(asked, "POST", "/v1/outcomes", 200, report)
    label = {"transaction_id": "a", "label": "fraud", "source": "chargeback", "reported_at": rfc3339(START_MS)}
    checked(asked, "POST", "/v1/labels", 200, label)
    named = {"kind": "ip", "value": "10.0.0.0/8"}
    entry = {**named, "reason": "seen", "expires_at": "2199-01-01T00:00:00Z"}
    for method, path, body in (
        ("POST", "/v1/lists/watch", {"entries": [entry]}),
        ("GET", "/v1/lists/watch?limit=1", None),
        ("DELETE", "/v1/lists/watch", {"entries": [named], "reason": "cleared"}),
    ):
        checked(asked, method, path, 200, body, "/v1/lists/{list}")
    look_at_decision(asked, "a")
    checked(asked, "POST", "/v1/labels", 202, label | {"transaction_id": "z"})
    checked(asked, "POST", "/v1/outcomes", 202, report | {"transaction_id": "z"})
    checked(asked, "POST", "/v1/labels", 200, label | {"transaction_id": "y", "payment": payment("y")})
    look_at_decision(asked, "y")
    assert set(DOCUMENT["paths"]) == {
        "/v1/score", "/v1/score/batch", "/v1/outcomes", "/v1/labels", "/v1/receipts/{transaction_id}",
        "/v1/decisions/{transaction_id}", "/v1/lists/{list}", "/livez", "/readyz", "/metrics",
    }, "a route without a check here"  # fmt: skip


def look_at_decision(asked: Asked, name: str, status: int = 200) -> None:
    checked(asked, "GET", f"/v1/decisions/{name}", status, None, "/v1/decisions/{transaction_id}")


def test_refusals_of_every_route_match_their_schemas(asked: Asked) -> None:
    checked(asked, "POST", "/v1/score", 503, payment("early"))
    asked.load()
    asked.ask("POST", "/v1/score", payment("known"))
    checked(asked, "POST", "/v1/score", 409, payment("known", amount_minor=1))
    for path in ("/v1/score", "/v1/score/batch", "/v1/outcomes", "/v1/labels"):
        checked(asked, "POST", path, 400, "{")
        problems = checked(asked, "POST", path, 422, {"currency": 1, "outcome": 1, "label": 1, "x": 1})
        assert problems["error"]["repair"] or problems["error"]["problems"]
        checked(asked, "POST", path + "?no=1", 422, {})
    for method, path, status in (
        ("POST", "/v1/lists/block", 400),
        ("POST", "/v1/lists/grey", 404),
        ("DELETE", "/v1/lists/block?no=1", 422),
        ("GET", "/v1/lists/block?limit=0", 422),
    ):
        checked(asked, method, path, status, "{" if method == "POST" else None, "/v1/lists/{list}")
    report = {"transaction_id": "known", "outcome": "declined", "event_time": rfc3339(START_MS)}
    asked.ask("POST", "/v1/outcomes", report)
    checked(asked, "POST", "/v1/outcomes", 409, report | {"outcome": "settled"})
    checked(asked, "GET", "/v1/receipts/none", 404, None, "/v1/receipts/{transaction_id}")
    look_at_decision(asked, "none", 404)
    for path in ("/livez", "/readyz", "/metrics"):
        checked(asked, "GET", path + "?no=1", 422)
    checked(asked, "GET", "/v1/receipts/none?no=1", 422, None, "/v1/receipts/{transaction_id}")


def test_every_schema_of_the_document_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
