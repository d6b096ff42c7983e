"""Every sequence of `sequences.json`, step by step, in both profiles."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.api.cases.test_payments import base
from tests.serving.profiles import both_profiles
from tests.serving.scoring_world import Service

pytestmark = both_profiles

SEQUENCES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("sequences.json").read_text())
_MOMENT = re.compile(r"NOW(?:([+-])(\d+)(min|h|d|y))?")
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "y": timedelta(days=365.25)}


def moments(value: Any) -> Any:
    """The value with each `NOW-6min` as a moment."""
    if isinstance(value, dict):
        return {name: moments(one) for name, one in value.items()}
    if isinstance(value, str) and (found := _MOMENT.fullmatch(value)):
        now = datetime.now(UTC)
        sign, count, unit = found.groups()
        return (now + (1 if sign == "+" else -1) * int(count) * _UNITS[unit] if sign else now).isoformat()
    return value


def sent(service: Service, step: dict[str, Any], fixed: dict[str, Any]) -> httpx.Response:
    if "get" in step:
        return service.client.get(step["get"])
    if "body" in step:
        fields = moments(step["body"])
    elif "payments" in step:
        fields = {"payments": [fixed | moments(one) for one in step["payments"]]}
    else:
        fields = fixed | moments(step["change"])
    content, headers = json.dumps(fields).encode(), {"content-type": "application/json"}
    if step.get("encode") == "gzip":
        content, headers["content-encoding"] = gzip.compress(content), "gzip"
    elif step.get("encode") == "bom":
        content = b"\xef\xbb\xbf" + content
    return service.client.post(step["post"], content=content, headers=headers)


def without_warnings(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "warnings"}


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: re.sub(r"\W+", "_", one["why"])[:50])
def test_a_sequence_of_the_cases(service: Service, sequence: dict[str, Any]) -> None:
    fixed, first = base(), None
    for step in sequence["steps"]:
        reply = sent(service, step, fixed)
        body, expect = reply.json(), step["expect"]
        assert reply.status_code == expect["status"], body
        first = body if first is None else first
        if expect.get("same_answer"):
            assert without_warnings(body) == without_warnings(first)
        for name, value in expect.get("header", {}).items():
            assert reply.headers[name] == value
        if "field" in expect:
            assert body["error"]["field"] == expect["field"]
        if expect.get("repeats_decision"):
            assert body["error"]["decision"] == first["decision"]
        if "effective" in expect:
            assert body["effective"] == expect["effective"]
