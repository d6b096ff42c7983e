"""The edge of HTTP over a real port: content codings, encodings, ids of requests, traces, times, odd methods."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from tests.serving.profiles import every_way
from tests.serving.scoring_world import START_MS, Service, payment

pytestmark = every_way

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
ULID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")


def send(service: Service, fields: dict[str, Any], headers: dict[str, str], path: str = "/v1/score") -> httpx.Response:
    return service.client.post(path, content=json.dumps(fields), headers=headers)


def test_every_reply_names_its_request_and_says_what_it_took_and_when(service: Service) -> None:
    replies = [
        service.score(payment("edge-1")), service.score(payment("edge-1")), service.score({}),
        service.score(payment("edge-1b"), "?explain=1"), service.post("/v1/score/batch", {"payments": []}),
        service.client.get("/livez"), service.client.get("/metrics"), service.client.get("/nothing"),
        service.client.get("/"), service.client.delete("/v1/score"), service.client.get("/v1/receipts/none"),
    ]  # fmt: skip
    for reply in replies:
        assert ULID.fullmatch(reply.headers["x-request-id"]), reply.url
        assert reply.headers.get_list("date"), reply.url
        assert parsedate_to_datetime(reply.headers["date"])
        assert re.match(r"total;dur=[0-9]+\.[0-9]{3}", reply.headers["server-timing"]), reply.url
        assert "traceparent" not in reply.headers
        assert all(len(reply.headers.get_list(name)) == 1 for name in ("date", "x-request-id", "server-timing"))
    assert len({reply.headers["x-request-id"] for reply in replies}) == len(replies)


def test_a_decision_says_what_its_parts_took(service: Service) -> None:
    sent = service.score(payment("edge-2"))
    names = re.findall(r"([a-z]+);dur=", sent.headers["server-timing"])
    assert names == ["total", "wait", "features", "model", "decision"]
    parts = service.receipt("edge-2")["receipt"]["timings_us"]
    assert [f"{name};dur={us / 1000:.3f}" for name, us in parts.items()] == sent.headers["server-timing"].split(", ")[
        1:
    ]


def test_a_trace_goes_through_to_the_receipt_and_comes_back(service: Service) -> None:
    headers = {"traceparent": PARENT, "x-request-id": "order-81f3"}
    reply = send(service, payment("edge-3"), headers)
    assert reply.headers["x-request-id"] == "order-81f3"
    assert re.fullmatch(f"00-{TRACE}-(?!00f067aa0ba902b7)[0-9a-f]{{16}}-01", reply.headers["traceparent"])
    assert service.receipt("edge-3")["receipt"]["trace_id"] == TRACE
    # Another trace is no other payment, and the record keeps the first one.
    again = send(service, payment("edge-3"), {"traceparent": PARENT.replace("4bf", "abc")})
    assert again.headers["idempotent-replay"] == "true"
    assert again.content == reply.content
    assert service.receipt("edge-3")["receipt"]["trace_id"] == TRACE
    send(service, payment("edge-3b"), {"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"})
    assert "trace_id" not in service.receipt("edge-3b")["receipt"]


def test_the_payments_of_a_batch_carry_its_trace(service: Service) -> None:
    many = {"payments": [payment("edge-4a"), payment("edge-4b")]}
    reply = send(service, many, {"traceparent": PARENT}, "/v1/score/batch")
    assert TRACE in reply.headers["traceparent"]
    assert {service.receipt(f"edge-4{one}")["receipt"]["trace_id"] for one in "ab"} == {TRACE}


def test_log_lines_of_a_request_carry_its_id_and_trace(service: Service) -> None:
    body = payment("edge-5", amount_minor=90_000_000, device_id="d-new-edge", event_time_ms=START_MS + 5_000)
    reply = send(service, body, {"traceparent": PARENT.replace("4bf", "5e5"), "x-request-id": "edge-5-request"})
    if reply.json()["decision"] == "approve":
        pytest.skip("an approved payment has no log line")
    for _ in range(100):
        lines = [line for line in service.log.read_text().splitlines() if "edge-5-request" in line]
        if lines:
            break
        service.client.get("/livez")
    assert lines
    assert TRACE.replace("4bf", "5e5") in lines[0]
    assert reply.json()["receipt_id"] in lines[0]


@pytest.mark.parametrize("sent", ["4111111111111111", "4111-1111-1111-1111", "x" * 129])
def test_an_id_that_may_not_be_echoed_is_replaced(service: Service, sent: str) -> None:
    reply = send(service, payment(f"edge-6-{len(sent)}"), {"x-request-id": sent})
    assert ULID.fullmatch(reply.headers["x-request-id"])
    assert "4111" not in str(reply.headers)


def test_a_compressed_body_is_the_same_payment(service: Service) -> None:
    first = service.score(payment("edge-7"))
    body = gzip.compress(json.dumps(payment("edge-7")).encode())
    for coding in ("gzip", "x-gzip"):
        again = service.client.post("/v1/score", content=body, headers={"content-encoding": coding})
        assert (again.status_code, again.content) == (200, first.content)
    many = gzip.compress(json.dumps({"payments": [payment(f"edge-7-{n}") for n in range(300)]}).encode())
    reply = service.client.post("/v1/score/batch", content=many, headers={"content-encoding": "gzip"})
    assert [one["transaction_id"] for one in reply.json()["decisions"]] == [f"edge-7-{n}" for n in range(300)]


@pytest.mark.parametrize(
    ("coding", "body", "status", "code"),
    [
        ("br", b"{}", 415, "unread_coding"), ("deflate", b"{}", 415, "unread_coding"),
        ("zstd", b"{}", 415, "unread_coding"), ("gzip", b"{}", 400, "malformed"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-3], 400, "malformed"),
        ("gzip", gzip.compress(bytes(1 << 20), mtime=0), 413, "too_large"),
    ],
)  # fmt: skip
def test_what_cannot_be_inflated_is_refused(service: Service, coding: str, body: bytes, status: int, code: str) -> None:
    reply = service.client.post("/v1/score", content=body, headers={"content-encoding": coding})
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.json()["error"]["repair"]
    assert reply.headers.get("accept-encoding") == ("gzip" if status == 415 else None)


def test_a_byte_order_mark_is_ignored_and_utf16_is_refused_in_one_sentence(service: Service) -> None:
    text = json.dumps(payment("edge-8"))
    first = service.client.post("/v1/score", content=text.encode("utf-8-sig"))
    assert first.status_code == 200
    assert service.client.post("/v1/score", content=text).content == first.content
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        reply = service.client.post("/v1/score", content=text.encode(encoding))
        assert (reply.status_code, encoding[:6].upper() in reply.json()["error"]["message"]) == (400, True)
    report = json.dumps({"transaction_id": "edge-8", "outcome": "authorised", "event_time": payment("x")["event_time"]})
    assert service.client.post("/v1/outcomes", content=report.encode("utf-8-sig")).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"OPTIONS * HTTP/1.1", b"405"), (b"OPTIONS /v1/score HTTP/1.1", b"405"), (b"TRACE /v1/score HTTP/1.1", b"405"),
        (b"PROPFIND /nothing HTTP/1.1", b"404"), (b"BREW /v1/score HTTP/1.1", b"400"), (b"GET /a%0Ab HTTP/1.1", b"404"),
    ],
)  # fmt: skip
def test_odd_methods_get_the_one_error_shape(service: Service, head: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        line.sendall(head + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        reply = http.client.HTTPResponse(line)
        reply.begin()
        error = json.loads(reply.read())["error"]
        assert str(reply.status).encode() == status
        assert {"code", "message", "repair"} <= set(error)
        assert ULID.fullmatch(reply.headers["x-request-id"])
        assert reply.headers["date"]
        if status == b"405":
            assert reply.headers["allow"]


def test_the_place_in_the_ledger_is_a_text(service: Service) -> None:
    service.score(payment("edge-9"))
    assert re.fullmatch("[0-9]+", service.receipt("edge-9")["seq"])
