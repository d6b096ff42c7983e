"""Security headers stand on every reply of the service and of the desk, errors included."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.api.openapi import document
from serving.cases.sqlite import SqliteCases
from serving.console.app import create_app
from serving.console.desk import Desk
from serving.console.headers import HEADERS
from serving.console.pages.catalogues import Catalogues
from serving.server.headers import ALWAYS, security_headers
from tests.serving.console.desk_visitor import Visitor
from tests.serving.console.desk_world import DeskWorld
from tests.serving.scoring_world import PARAMETERS, Service, payment, running

PATHS = document(PARAMETERS)["paths"]
REQUESTS = [
    *((verb.upper(), path.replace("{transaction_id}", "nobody")) for path, verbs in PATHS.items() for verb in verbs),
    *(("DELETE", path) for path in PATHS),
    ("GET", "/"), ("GET", "/docs"), ("GET", "/docs/page.js"), ("GET", "/openapi.json"), ("GET", "/nothing"),
    ("HEAD", "/docs"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), REQUESTS, ids=lambda word: str(word))
def test_every_reply_of_the_service_carries_them(service: Service, method: str, path: str) -> None:
    reply = service.client.request(method, path)
    for name, value in ALWAYS:
        assert reply.headers[name.decode()] == value.decode()
    if reply.headers["content-type"].startswith("text/html"):
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
    assert "server" not in reply.headers
    assert "strict-transport-security" not in reply.headers


def test_a_decision_its_replay_and_a_refusal_carry_them(service: Service) -> None:
    for reply in (
        service.score(payment("s-1")),
        service.score(payment("s-1")),
        service.score(payment("s-1", rail="x")),
    ):
        assert reply.headers["cache-control"] == "no-store"


def test_behind_tls_the_service_says_so(bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path, bundle, RISKGATE_HSTS_SECONDS="31536000") as service:
        for path in ("/livez", "/docs", "/nothing"):
            reply = service.client.get(path)
            assert reply.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert security_headers(0) == ALWAYS


@pytest.mark.parametrize("hsts", [0, 600])
def test_every_reply_of_the_desk_carries_them(tmp_path: Path, hsts: int) -> None:
    world = DeskWorld(tmp_path)
    world.user()
    desk = Desk(SqliteCases(world.ledger_path), world.index_path, replay_clock=True)
    visitor = Visitor(create_app(desk, world.users, Catalogues(world.var / "bundles"), hsts))
    try:
        visitor.sign_in()
        paths = ("/", "/livez", "/sign-in", "/cases", "/case?id=none", "/static/console.css", "/static/no", "/nothing")
        replies = [visitor.get(path, follow=False) for path in paths]
        replies += [visitor.post(path, {}) for path in ("/sign-in", "/case?id=none", "/livez", "/sign-out")]
        world.close()
        world.ledger_path.write_bytes(b"not a ledger" * 1_000)  # a fault of ours has them too
        replies.append(visitor.get("/cases"))
        assert replies[-1].status_code >= 500
        for reply in replies:
            for name, value in HEADERS.items():
                assert reply.headers[name] == value, reply.url
            assert reply.headers["cache-control"] == "no-store" or "/static/" in str(reply.url)
            assert ("strict-transport-security" in reply.headers) == bool(hsts)
    finally:
        visitor.close()
