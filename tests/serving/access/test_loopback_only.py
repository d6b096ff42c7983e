"""Without keys: a page of another site reaches nothing through a browser on this machine, by either way in."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.access.loopback_only import is_loopback, refusal_of
from serving.overload.plain_head import read_head
from tests.serving.asgi import Asked
from tests.serving.overload.test_fast_path import read_replies
from tests.serving.scoring_world import Service, payment

OURS = ["127.0.0.1:3000", "127.0.0.1", "localhost", "LocalHost:3000", "localhost.", "127.8.9.10:80", "[::1]:3000"]
FOREIGN = [
    "attacker.example", "attacker.example:3000", "localhost.attacker.example", "127.0.0.1.attacker.example", "0.0.0.0",
    "10.0.0.7:3000", "[fe80::1]:3000", "[127.0.0.1]", "::1", "127.1", "2130706433", "127.0.0.1:3000:1", "a@127.0.0.1",
    "127.0.0.1, attacker.example", "localhost attacker.example", "[::1", "riskgate",
]  # fmt: skip
FOREIGN_ORIGINS = [
    "null", "", "https://attacker.example", "http://127.0.0.1.attacker.example", "file://", "127.0.0.1",
    "chrome-extension://localhost", "http://a@localhost", "http://localhost http://x.example",
]  # fmt: skip
FORMS = [
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "TEXT/PLAIN;charset=utf-8",
    " text/html",
]  # fmt: skip
ROUTES = [("POST", "/v1/score"), ("POST", "/v1/score/batch"), ("POST", "/v1/labels"), ("POST", "/v1/outcomes"),
          ("GET", "/v1/receipts/t"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/"),
          ("GET", "/nothing"), ("POST", "/livez")]  # fmt: skip


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Asked]:
    one = Asked(tmp_path_factory.mktemp("keyless") / "var", bundle)
    one.load()
    yield one
    one.close()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Asked]:
    one = Asked(tmp_path_factory.mktemp("keyed") / "var", bundle, api_key="a-key-of-some-length")
    one.load()
    yield one
    one.close()


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda word: str(word))
def test_no_route_answers_a_foreign_host_or_origin(keyless: Asked, method: str, path: str) -> None:
    before = keyless.runtime.ledger.last_seq()
    for host in FOREIGN:
        reply = keyless.ask(method, path, payment("foreign") if method == "POST" else None, host=host)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "foreign_caller"), host
        assert "RISKGATE_API_KEY" in reply.json()["error"]["repair"]
    for origin in FOREIGN_ORIGINS:
        reply = keyless.ask(method, path, payment("foreign") if method == "POST" else None, origin=origin)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "foreign_caller"), origin
    assert keyless.runtime.ledger.last_seq() == before


def test_this_machine_is_answered_by_each_of_its_names(keyless: Asked) -> None:
    for place, host in enumerate(OURS):
        for origin in ("http://localhost:8080", "https://127.0.0.1", "http://[::1]:3000"):
            reply = keyless.ask("POST", "/v1/score", payment(f"own-{place}"), host=host, origin=origin)
            assert reply.status_code == 200, (host, origin)


def test_a_probe_may_come_by_any_name(keyless: Asked) -> None:
    for path in ("/livez", "/readyz"):
        for method in ("GET", "HEAD"):
            assert keyless.ask(method, path, host="10.0.0.7:3000").status_code == 200


@pytest.mark.parametrize("kind", FORMS)
def test_what_a_form_sends_is_415_and_recorded_nowhere(keyless: Asked, kind: str) -> None:
    before = keyless.runtime.ledger.last_seq()
    for path in ("/v1/score", "/v1/score/batch", "/v1/labels", "/v1/outcomes"):
        reply = keyless.ask("POST", path, payment("form"), content_type=kind)
        assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unread_type")
    assert keyless.runtime.ledger.last_seq() == before


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/octet-stream"])
def test_other_types_and_none_are_read_as_ever(keyless: Asked, kind: str) -> None:
    assert keyless.ask("POST", "/v1/score", payment(f"kind-{kind}"), content_type=kind).status_code == 200
    assert keyless.ask("POST", "/v1/score", payment("kind-none")).status_code == 200


def test_with_a_key_the_key_decides_as_before(keyed: Asked) -> None:
    key = "Bearer a-key-of-some-length"
    for headers in ({"host": "pay.example"}, {"origin": "https://pay.example"}, {"content_type": "text/plain"}):
        reply = keyed.ask("POST", "/v1/score", payment("keyed"), authorization=key, **headers)
        assert reply.status_code == 200, headers
        assert keyed.ask("POST", "/v1/score", payment("keyed"), **headers).status_code == 401
    assert keyed.ask("GET", "/docs", host="pay.example").status_code == 200


def test_of_several_headers_each_is_looked_at() -> None:
    local, foreign = (b"host", b"127.0.0.1"), (b"host", b"attacker.example")
    assert refusal_of("GET", "/docs", [local, local]) is None
    for headers in (
        [local, foreign],
        [foreign, local],
        [local, (b"origin", b"http://localhost"), (b"origin", b"null")],
    ):
        assert refusal_of("GET", "/docs", headers) is not None
    assert refusal_of("GET", "/docs", []) is None, "only programs leave Host out"


@given(st.text("localhst127.0:[]3 \t@,/é", max_size=24))
def test_any_host_is_ours_or_foreign(text: str) -> None:
    found = is_loopback(text.encode())
    assert found in (True, False)
    if found:
        assert text.strip().lower().startswith(("localhost", "127.", "[::1", "[0", "[::"))


hosts = st.sampled_from([*OURS, *FOREIGN, ""])
kinds = st.sampled_from([*FORMS, "application/json", "application/json;charset=utf-8", "application/jsonp", ""])
origins = st.sampled_from([*FOREIGN_ORIGINS, "http://localhost"])
lines = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["Host", "host", "HOST"]), hosts),
        st.tuples(st.sampled_from(["Content-Type", "content-type"]), kinds),
        st.tuples(st.sampled_from(["Origin", "oriGin"]), origins),
        st.tuples(st.just("X-Other"), st.sampled_from(["host: localhost", "origin: null"])),
    ),
    max_size=4,
)


@given(lines, st.sampled_from([": ", ":", ":   "]))
def test_the_fast_path_takes_no_head_that_the_ordinary_way_refuses(sent: list[tuple[str, str]], colon: str) -> None:
    fields = b"".join(f"{name}{colon}{text}\r\n".encode() for name, text in [*sent, ("Content-Length", "2")])
    head = read_head(b"POST /v1/score HTTP/1.1\r\n" + fields + b"\r\n{}")
    if head is not None and is_loopback(head.host):  # serving/overload/connection.py
        pairs = [(name.lower().encode(), text.encode()) for name, text in sent]
        assert refusal_of("POST", "/v1/score", pairs) is None


def test_both_ways_in_refuse_over_a_socket(service: Service) -> None:
    body = json.dumps(payment("socket")).encode()

    def status(*lines: str) -> int:
        head = "\r\n".join(("POST /v1/score HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""))
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
            line.sendall(head.encode() + body)
            found = line.recv(65_536)
            return int(found.split(b" ", 2)[1])

    assert status("Host: attacker.example") == 403
    assert status("Host: 127.0.0.1", "Origin: null") == 403
    assert status("Host: 127.0.0.1", "Content-Type: text/plain") == 415
    assert service.client.get("/v1/receipts/socket").status_code == 404
    assert status("Host: 127.0.0.1", "Content-Type: application/json") == 200
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n")
        assert b"true" in read_replies(line, 1)[0]
