"""API keys over a real port: each route asks for its scope, and a rotation needs no restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from serving.access.api_keys import SCOPES
from tests.serving.scoring_world import START_MS, Service, command, payment, rfc3339, running

NOW = datetime(2026, 11, 11, tzinfo=UTC)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


def added(path: Path, name: str, *options: str) -> str:
    done = command({"RISKGATE_KEYS": str(path)}, "key-add", name, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def tokens(keys: Path) -> dict[str, str]:
    return {scope: added(keys, f"k-{scope}", "--scope", scope) for scope in SCOPES}


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path, keys: Path, tokens: dict[str, str]
) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("guarded"), bundle, RISKGATE_KEYS=str(keys)) as service:
        yield service


ROUTES = [
    ("POST", "/v1/score", "score"),
    ("POST", "/v1/score/batch", "score"),
    ("POST", "/v1/outcomes", "feedback"),
    ("POST", "/v1/labels", "feedback"),
    ("GET", "/v1/receipts/k-1", "read"),
    ("GET", "/metrics", "read"),
]


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES, ids=[route[1] for route in ROUTES])
def test_each_route_asks_for_its_scope(
    guarded: Service, tokens: dict[str, str], method: str, path: str, needed: str
) -> None:
    # through a proxy, else /metrics is answered without a key
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    for headers in ({}, bearer("wrong"), bearer(tokens[needed] + "x")):
        reply = guarded.client.request(method, path, headers=headers | proxied)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthorised")
        assert reply.headers["www-authenticate"] == "Bearer"
    for scope, token in tokens.items():
        reply = guarded.client.request(method, path, headers=bearer(token) | proxied)
        if scope in (needed, "admin"):
            assert reply.status_code not in (401, 403)
        else:
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")


def test_open_routes_need_no_key_and_metrics_none_on_this_machine(guarded: Service) -> None:
    for path in ("/livez", "/readyz", "/openapi.json", "/docs", "/metrics"):
        assert guarded.client.get(path).status_code == 200


def test_a_payment_with_a_key_is_scored_and_told_of_with_another(guarded: Service, tokens: dict[str, str]) -> None:
    body = json.dumps(payment("k-1"))
    assert guarded.client.post("/v1/score", content=body, headers=bearer(tokens["score"])).status_code == 200
    report = json.dumps({"transaction_id": "k-1", "outcome": "settled", "event_time": rfc3339(START_MS)})
    assert guarded.client.post("/v1/outcomes", content=report, headers=bearer(tokens["feedback"])).status_code == 200
    assert guarded.client.get("/v1/receipts/k-1", headers=bearer(tokens["read"])).status_code == 200


def until(reply: int, ask: httpx.Client, headers: dict[str, str]) -> bool:
    for _ in range(60):
        if ask.post("/v1/score", content=b"{}", headers=headers).status_code == reply:
            return True
        time.sleep(0.1)
    return False


def test_keys_are_rotated_while_the_service_runs(guarded: Service, keys: Path) -> None:
    first = bearer(added(keys, "rotated-1", "--scope", "score", "--rate", "1000", "--days", "2", "--note", "tills"))
    assert until(422, guarded.client, first)
    second = bearer(added(keys, "rotated-2", "--scope", "score"))
    done = command({"RISKGATE_KEYS": str(keys)}, "key-revoke", "rotated-1")
    assert done.returncode == 0
    assert until(401, guarded.client, first)
    assert until(422, guarded.client, second)
    listed = command({"RISKGATE_KEYS": str(keys)}, "key-list").stdout
    assert "revoked" in listed
    assert "tills" in listed
    assert not any(header["Authorization"][7:] in listed for header in (first, second))


def test_a_rate_is_kept_per_key_over_http(guarded: Service, keys: Path, tokens: dict[str, str]) -> None:
    slow = bearer(added(keys, "slow", "--scope", "score", "--rate", "1"))
    assert until(422, guarded.client, slow)
    replies = [guarded.client.post("/v1/score", content=b"{}", headers=slow) for _ in range(3)]
    late = next(reply for reply in replies if reply.status_code == 429)
    assert int(late.headers["retry-after"]) >= 1
    assert guarded.client.post("/v1/score", content=b"{}", headers=bearer(tokens["score"])).status_code == 422


def test_a_damaged_key_file_is_a_metric_and_keeps_everybody_in(
    guarded: Service, keys: Path, tokens: dict[str, str]
) -> None:
    good = keys.read_text()
    keys.write_text("not keys")
    try:
        for _ in range(60):
            if "riskgate_key_file_broken 1.0" in guarded.client.get("/metrics").text:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("the broken key file is no metric")
        assert guarded.client.post("/v1/score", content=b"{}", headers=bearer(tokens["score"])).status_code == 422
    finally:
        keys.write_text(good)
    assert "stay in force" in guarded.log.read_text()
