"""What generated clients rely on in the OpenAPI document, and its examples sent as they are printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import openapi_spec_validator

from features.domain.payment_fields import BY_NAME, FIELDS
from serving.api.contract.operations import EXAMPLES, OPERATIONS, TAGS
from serving.api.contract.payment_schema import payment_schemas
from serving.api.openapi import document
from tests.serving.asgi import Asked
from tests.serving.scoring_world import PARAMETERS, START_MS, rfc3339

DOCUMENT = document(PARAMETERS, keyed=True)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
CALLS = [(path, method, one) for path, methods in DOCUMENT["paths"].items() for method, one in methods.items()]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from walk(one)


def test_the_document_is_openapi_3_1() -> None:
    openapi_spec_validator.validate(DOCUMENT)
    openapi_spec_validator.validate(document())


def test_a_document_belongs_to_its_caller() -> None:
    one = document()
    for part in walk(one):
        part["written"] = True
    assert not any("written" in part for part in walk(document()))


def test_every_operation_has_a_name_of_its_own_a_tag_and_a_description() -> None:
    names = [one["operationId"] for _, _, one in CALLS]
    assert len(set(names)) == len(names)
    assert {(path, method) for path, method, _ in CALLS} == set(OPERATIONS), "an entry without an operation"
    for path, method, one in CALLS:
        assert re.fullmatch(r"[a-z]+[A-Z][A-Za-z]+", one["operationId"]), (path, method)
        assert set(one["tags"]) <= set(TAGS)
        assert one["summary"].endswith(".")
        assert one["description"].endswith(".")
    assert [tag["name"] for tag in DOCUMENT["tags"]] == list(TAGS)


def test_every_reply_names_its_request() -> None:
    for _, _, one in CALLS:
        for status, reply in one["responses"].items():
            assert {"X-Request-Id", "Server-Timing", "traceparent"} <= set(reply["headers"]), status
            assert reply["headers"]["X-Request-Id"] == {"$ref": "#/components/headers/X-Request-Id"}


def test_links_lead_to_operations_with_what_these_take() -> None:
    takes = {one["operationId"]: one for _, _, one in CALLS}
    found = 0
    for _, _, one in CALLS:
        for link in one["responses"].get("200", {}).get("links", {}).values():
            found += 1
            target = takes[link["operationId"]]
            given_ = set(link.get("parameters", ()))
            assert given_ == {each["name"] for each in target.get("parameters", ()) if each["in"] == "path"}
            if "requestBody" in link:
                schema = target["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
                assert set(link["requestBody"]) <= set(SCHEMAS[schema]["properties"])
    assert found >= 6


def test_replies_may_grow_and_no_field_of_a_request_has_a_default() -> None:
    sent: set[str] = set()
    replied: set[str] = set()
    for _, _, one in CALLS:
        sent |= reached(one.get("requestBody", {}))
        replied |= reached(one["responses"])
    for name in replied - sent:
        for schema in walk(SCHEMAS[name]):
            assert schema.get("additionalProperties") is not False, name
    for name in sent:
        for schema in walk(SCHEMAS[name].get("properties", {})):
            assert "default" not in schema or not isinstance(schema.get("type"), (str, list)), name


def reached(part: Any) -> set[str]:
    """The names of the schemas that a part of the document refers to, through others too."""
    found: set[str] = set()
    left = {one["$ref"] for one in walk(part) if isinstance(one.get("$ref"), str)}
    while left:
        name = left.pop().split("/")[-1]
        if name in SCHEMAS and name not in found:
            found.add(name)
            left |= {one["$ref"] for one in walk(SCHEMAS[name]) if isinstance(one.get("$ref"), str)}
    return found


def test_no_schema_has_a_field_of_its_own_name_and_every_array_says_what_it_holds() -> None:
    for name, schema in SCHEMAS.items():
        words = "_".join(re.findall("[A-Z][a-z0-9]*", name)).lower()
        assert words not in schema.get("properties", {}), f"openapi-python-client makes type errors of {name}"
        for one in walk(schema):
            if one.get("type") == "array":
                assert "items" in one, name


def test_every_field_of_a_payment_is_in_its_schema_and_vocabularies_are_open() -> None:
    payment = payment_schemas(PARAMETERS)["Payment"]
    assert list(payment["properties"]) == [field.name for field in FIELDS]
    assert set(payment["required"]) == {field.name for field in FIELDS if field.required}
    assert "enum" not in str(payment)
    for name in ("rail", "channel", "currency"):
        assert len(payment["properties"][name]["examples"]) > 3
    assert {"bin", "brand", "funding", "three_ds", "avs", "cvv"} <= set(SCHEMAS["Card"]["properties"])
    for name, field in BY_NAME.items():
        if not field.required:
            assert "null" in str(payment["properties"][name]), f"{name} may be null: not sent"


def test_examples_match_their_schemas() -> None:
    for path, method, one in CALLS:
        places = [one.get("requestBody", {}), *one["responses"].values()]
        for place in places:
            for content in place.get("content", {}).values():
                if "example" in content:
                    schema = {**content["schema"], "components": DOCUMENT["components"]}
                    jsonschema.Draft202012Validator(schema).validate(content["example"])
        assert (one["operationId"] in EXAMPLES) == ("example" in str(one.get("requestBody", ""))), (path, method)


def test_the_examples_of_requests_work_as_printed(tmp_path: Path, bundle: Path) -> None:
    asked = Asked(tmp_path / "var", bundle)
    asked.load()
    try:
        for path, method, one in CALLS:
            content = one.get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" in content:
                reply = asked.ask(method.upper(), path, at_the_clock(content["example"]))
                assert reply.status_code == 200, reply.text
    finally:
        asked.close()


def at_the_clock(body: Any) -> Any:
    """The example with the times of the test's clock, which no document can print."""
    if isinstance(body, list):
        return [at_the_clock(one) for one in body]
    if not isinstance(body, dict):
        return body
    moved = {"event_time": rfc3339(START_MS), "reported_at": rfc3339(START_MS)}
    return {name: moved.get(name, at_the_clock(value)) for name, value in body.items()}
