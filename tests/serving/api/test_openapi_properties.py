"""Requests made from the OpenAPI document against the running service: never a 500, only what is documented.

The examples are the same in every run (derandomised): a failure here is a failure everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from serving.access.api_keys import KeyFile, new_key
from serving.api.openapi import document
from tests.serving.profiles import Profile, generated_ways
from tests.serving.scoring_world import PARAMETERS, Service

pytestmark = generated_ways

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
]
#: A batch is answered payment by payment: an invalid one has an error of its own inside a 200.
ANSWERED_ONE_BY_ONE = "/v1/score/batch"
# Both what the document allows and what it forbids.
CONFIG = {"generation": {"mode": "all", "deterministic": True}}
bounded = settings(max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))

open_schema = schemathesis.openapi.from_dict(document(PARAMETERS), config=SchemathesisConfig.from_dict(CONFIG))
keyed_schema = schemathesis.openapi.from_dict(
    document(PARAMETERS, keyed=True), config=SchemathesisConfig.from_dict(CONFIG)
)


@open_schema.parametrize()
@bounded
def test_every_answer_is_one_the_document_promises(case: schemathesis.Case, service: Service) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{service.port}", checks=checks_of(case), timeout=20)


def checks_of(case: schemathesis.Case) -> list[CheckFunction]:
    return [check for check in CHECKS if check is not negative_data_rejection or case.path != ANSWERED_ONE_BY_ONE]


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
    checks = [*checks_of(case), ignored_auth]
    case.call_and_validate(base_url=f"http://127.0.0.1:{service.port}", headers=headers, checks=checks, timeout=20)


def test_the_document_is_the_one_the_service_shows(service: Service, guarded: tuple[Service, dict[str, str]]) -> None:
    for one, keyed in ((service, False), (guarded[0], True)):
        shown = httpx.get(f"http://127.0.0.1:{one.port}/openapi.json").json()
        assert shown == document(PARAMETERS, keyed=keyed)


@pytest.mark.parametrize("path", ["/v1/score", "/v1/labels"])
def test_the_service_still_answers_after_all_this(service: Service, path: str) -> None:
    assert httpx.post(f"http://127.0.0.1:{service.port}{path}", content=b"{}").status_code == 422
    assert "unexpected" not in service.log.read_text()
