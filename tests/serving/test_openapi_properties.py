"""Requests made from the OpenAPI document against the running service: never a 500, only what is documented."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.openapi import document
from tests.serving.scoring_world import PARAMETERS, Service

schema = schemathesis.openapi.from_dict(document(PARAMETERS))
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_the_document_promises(case: schemathesis.Case, service: Service) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{service.port}", checks=CHECKS, timeout=20)


def test_the_document_is_the_one_the_service_shows(service: Service) -> None:
    assert httpx.get(f"http://127.0.0.1:{service.port}/openapi.json").json() == document(PARAMETERS)


@pytest.mark.parametrize("path", ["/v1/score", "/v1/labels"])
def test_the_service_still_answers_after_all_this(service: Service, path: str) -> None:
    assert httpx.post(f"http://127.0.0.1:{service.port}{path}", content=b"{}").status_code == 422
