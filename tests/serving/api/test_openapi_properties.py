"""Requests made from the OpenAPI document against the running service: never a 500, only what is documented.

The examples are the same in every run (derandomised): a failure here is a failure everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext, CheckFunction, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ensure_resource_availability,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from features.domain.payment_fields import REQUIRED
from serving.access.api_keys import KeyFile, new_key
from serving.api.openapi import document
from tests.serving.profiles import Profile, generated_ways
from tests.serving.scoring_world import PARAMETERS, ROOT, START_MS, Service, rfc3339

pytestmark = generated_ways


def invalid_core_is_refused(ctx: CheckContext, response: Any, case: schemathesis.Case) -> None:
    """A payment without its required fields, or that is none, gets no decision."""
    if case.path == "/v1/score" and response.status_code == 200:
        sent = json.loads(response.request.body)
        assert isinstance(sent, dict)
        assert set(REQUIRED) <= {name for name, value in sent.items() if value is not None}


CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    missing_required_header,
    unsupported_method,
    allow_header_conformance,
    use_after_free,
    ensure_resource_availability,
    invalid_core_is_refused,
]
CONFIG = SchemathesisConfig.from_path(ROOT / "tests" / "clients" / "schemathesis.toml")
bounded = settings(max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))

open_schema = schemathesis.openapi.from_dict(document(PARAMETERS), config=CONFIG)
keyed_schema = schemathesis.openapi.from_dict(document(PARAMETERS, keyed=True), config=CONFIG)


@open_schema.parametrize()
@bounded
def test_every_answer_is_one_the_document_promises(case: schemathesis.Case, service: Service) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{service.port}", checks=CHECKS, timeout=20)


#: A chain must get as far as these. Lists have chains of their own: schemathesis begins with them alone where it can,
#: for a payment names payers and payees that no operation makes.
CHAINS = {
    "payments": ("POST /v1/score", "GET /v1/receipts/{transaction_id}", "GET /v1/decisions/{transaction_id}"),
    "lists": ("POST /v1/lists/{list}", "GET /v1/lists/{list}"),
}


@pytest.mark.parametrize("about", CHAINS)
def test_chains_of_calls_along_the_links_keep_every_promise(service: Service, about: str) -> None:
    some = open_schema.include(tag="lists") if about == "lists" else open_schema.exclude(tag="lists")

    class Chains(some.as_state_machine()):  # type: ignore[misc]
        """Score, then the receipt, the decision and the reports about the same transaction."""

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"base_url": f"http://127.0.0.1:{service.port}", "timeout": 20}

        def before_call(self, case: schemathesis.Case) -> None:
            # At the clock, so that chains begin with a decision.
            if isinstance(case.body, dict) and isinstance(case.body.get("event_time"), str):
                case.body["event_time"] = rfc3339(START_MS)

        def validate_response(self, response: Any, case: schemathesis.Case, **_: Any) -> None:
            seen.add((case.operation.label, response.status_code))
            case.validate_response(response, checks=CHECKS)

    seen: set[tuple[str, int]] = set()
    Chains.run(settings=settings(bounded, max_examples=30, stateful_step_count=6))
    for label in CHAINS[about]:
        assert (label, 200) in seen, "no chain got so far"


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    key, token = new_key("fuzz", ("admin",), datetime.now(UTC))
    KeyFile(path).add(key)
    return path, token


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, profile: Profile, bundle: Path, admin: tuple[Path, str]
) -> Iterator[tuple[Service, dict[str, str]]]:
    with profile.running(tmp_path_factory.mktemp("guarded"), bundle, RISKGATE_KEYS=str(admin[0])) as service:
        # as through a proxy, else /metrics needs no key
        yield service, {"Authorization": f"Bearer {admin[1]}", "X-Forwarded-For": "203.0.113.9"}


@keyed_schema.parametrize()
@settings(bounded, max_examples=25)
def test_a_service_with_keys_keeps_every_promise_too_and_lets_nobody_by(
    case: schemathesis.Case, guarded: tuple[Service, dict[str, str]]
) -> None:
    service, headers = guarded
    checks = [*CHECKS, ignored_auth]
    case.call_and_validate(base_url=f"http://127.0.0.1:{service.port}", headers=headers, checks=checks, timeout=20)


def test_the_document_is_the_one_the_service_shows(service: Service, guarded: tuple[Service, dict[str, str]]) -> None:
    for one, keyed in ((service, False), (guarded[0], True)):
        shown = httpx.get(f"http://127.0.0.1:{one.port}/openapi.json").json()
        assert shown == document(PARAMETERS, keyed=keyed)


@pytest.mark.parametrize("path", ["/v1/score", "/v1/labels"])
def test_the_service_still_answers_after_all_this(service: Service, path: str) -> None:
    assert httpx.post(f"http://127.0.0.1:{service.port}{path}", content=b"{}").status_code == 422
    assert "unexpected" not in service.log.read_text()
