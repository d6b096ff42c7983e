"""What is too long, too deep, too many or too slow is refused in the one shape, on a real port."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from features.domain.payment_fields import LONGEST_TEXT
from features.intake.findings import MOST_PROBLEMS, MOST_WARNINGS
from features.intake.parse import DEEPEST
from serving.api.bodies.body_timeout import BODY_SECONDS
from serving.server.bounded_http import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_HEADERS, BoundedHttp
from tests.flow.desk_process import console_process
from tests.serving.console.desk_world import DeskWorld
from tests.serving.scoring_world import Service, payment, running


def refused(service: Service, body: bytes, path: str = "/v1/score") -> tuple[int, str]:
    reply = service.client.post(path, content=body)
    assert reply.json()["error"]["repair"]
    return reply.status_code, reply.json()["error"]["code"]


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels > 1 else {}


def test_a_body_is_as_deep_as_it_needs_and_not_deeper(service: Service) -> None:
    deep = json.dumps(nested(DEEPEST)).encode()
    assert refused(service, deep)[1] != "malformed"
    for path in ("/v1/score", "/v1/score/batch", "/v1/outcomes", "/v1/labels"):
        for body in (json.dumps(nested(DEEPEST + 1)).encode(), b"[" * 900 + b"]" * 900, b'{"a":' * 9_000):
            assert refused(service, body, path) == (400, "malformed")


def test_deep_and_doubled_is_refused_too(service: Service) -> None:
    inner = b"[" * 900 + b"]" * 900
    assert refused(service, b'{"a": 1, "a": ' + inner + b"}") == (400, "malformed")


def test_a_text_is_as_long_as_allowed_and_not_longer(service: Service) -> None:
    assert service.score(payment("limit-1", payee_id="m" * LONGEST_TEXT)).status_code == 200
    assert refused(service, json.dumps(payment("limit-2", payee_id="m" * (LONGEST_TEXT + 1))).encode()) == (
        422,
        "invalid_text",
    )
    (warning,) = service.score(payment("limit-3") | {"n" * 5_000: 1}).json()["warnings"]
    assert warning["code"] == "unknown_field"
    assert len(warning["field"]) < 100


def test_warnings_and_problems_are_counted_and_the_reply_stays_small(service: Service) -> None:
    many = {f"a{place}": 1 for place in range(1_000)}
    reply = service.score(payment("limit-4", attributes=many))
    warnings = reply.json()["warnings"]
    assert len(warnings) == MOST_WARNINGS
    assert "961 more warnings" not in warnings[0]["message"]
    assert "960 more warnings" in warnings[-1]["message"]
    assert len(reply.content) < 30_000
    reply = service.client.post("/v1/score", content=json.dumps({f"f{place}": 1 for place in range(5_000)}))
    assert reply.json()["error"]["code"] == "too_many_fields"
    strict = service.score(payment("limit-5", attributes=many), "?strict=1").json()["error"]["problems"]
    assert len(strict) == MOST_PROBLEMS + 1
    assert strict[-1]["code"] == "too_many_problems"


@pytest.mark.parametrize("doubled", [False, True])
def test_a_body_of_very_many_keys_does_not_hold_up_the_others(service: Service, doubled: bool) -> None:
    keys = ",".join(f'"k{place}":1' for place in range(200_000))
    body = ('{"payments":[{' + keys + (',"k1":2' if doubled else "") + "}]}").encode()
    assert len(body) < 4_194_304
    began = time.monotonic()
    reply = service.client.post("/v1/score/batch", content=body)
    assert time.monotonic() - began < 10
    assert reply.status_code == 200
    (error,) = reply.json()["decisions"]
    assert error["error"]["code"] in ("too_many_fields", "duplicate_key")


def test_a_number_with_more_digits_than_python_converts_is_no_fault_of_ours(service: Service) -> None:
    for body in (b'{"a": 1, "a": ' + b"9" * 6_000 + b"}", b'{"amount_minor": ' + b"9" * 6_000 + b', "a\\u0041": 1}'):
        assert service.client.post("/v1/score", content=body).status_code in (400, 422)


def test_a_card_number_sent_as_a_number_is_left_out_and_a_moment_is_not(service: Service) -> None:
    for place, value in enumerate((4111111111111111, 4111111111111111.0, 5555555555554444)):
        answer = service.score(payment(f"limit-5-{place}", attributes={"basket_items": value})).json()
        assert [one["code"] for one in answer["warnings"]] == ["card_number_tokenised"]
        assert service.receipt(f"limit-5-{place}")["payment"].get("attributes") is None
    for place in range(20):
        moment = payment(f"limit-6-{place}", attributes={"basket_items": 1_794_355_203_120 + place})
        assert service.score(moment).json()["warnings"] == []


# -- byte by byte -------------------------------------------------------------------------------


class Raw:
    """A connection that sends what it likes, when it likes."""

    def __init__(self, service: Service) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=15)

    def reply(self) -> tuple[int, bytes, dict[str, Any]]:
        """(status, head, body) of everything until the service closes."""
        received = b""
        while data := self.socket.recv(65_536):
            received += data
        self.socket.close()
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.lower(), json.loads(body)


# Most of the time of these nothing is sent: they wait beside each other.


def slow_body(service: Service) -> None:
    raw = Raw(service)
    began = time.monotonic()
    raw.socket.sendall(b'POST /v1/score HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{"transaction_id":')
    status, head, body = raw.reply()
    assert (status, body["error"]["code"]) == (408, "slow_body")
    assert b"connection: close" in head
    assert BODY_SECONDS * 0.9 < time.monotonic() - began < BODY_SECONDS + 5
    assert service.client.get("/livez").status_code == 200


def dripping_body(service: Service) -> None:
    raw = Raw(service)
    raw.socket.sendall(b"POST /v1/score HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(2):  # faster than the limit; the limit is for the whole body
        raw.socket.sendall(b"1\r\n{\r\n")
        time.sleep(BODY_SECONDS / 5)
    assert raw.reply()[0] == 408


def half_a_head(service: Service) -> None:
    raw = Raw(service)
    time.sleep(HEAD_SECONDS * 1.5)  # quiet until then, which is no fault
    raw.socket.sendall(b"POST /v1/score HTT")
    began = time.monotonic()
    status, _, body = raw.reply()
    assert (status, body["error"]["code"]) == (408, "slow_request")
    assert HEAD_SECONDS * 0.9 < time.monotonic() - began < HEAD_SECONDS * 2 + 5


def opened_ahead(service: Service) -> None:
    raw = Raw(service)
    raw.socket.settimeout(HEAD_SECONDS * 2.5)
    with pytest.raises(TimeoutError):
        raw.socket.recv(1)
    raw.socket.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert raw.reply()[0] == 200


def kept(service: Service) -> None:
    raw = Raw(service)
    for pause in (HEAD_SECONDS * 1.7, 0):
        raw.socket.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b'{"live":true}'):
            data = raw.socket.recv(65_536)
            assert data, received
            received += data
        time.sleep(pause)
    raw.socket.close()


@pytest.fixture(scope="module")
def meanwhile(service: Service) -> Iterator[Mapping[str, Future[None]]]:
    callers = (slow_body, dripping_body, half_a_head, opened_ahead, kept)
    with ThreadPoolExecutor(len(callers)) as pool:
        yield {caller.__name__: pool.submit(caller, service) for caller in callers}


def test_a_slow_body_is_408_in_the_one_shape_and_the_connection_ends(meanwhile: Mapping[str, Future[None]]) -> None:
    meanwhile["slow_body"].result()


def test_a_dripping_body_is_408_too(meanwhile: Mapping[str, Future[None]]) -> None:
    meanwhile["dripping_body"].result()


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"h%d: 1\r\n" % place for place in range(MAX_HEADERS + 1)),
        b"h: " + b"x" * MAX_HEAD_BYTES + b"\r\n",
    ],
    ids=["many", "long"],
)
def test_too_many_or_too_long_headers_are_431(service: Service, head: bytes) -> None:
    raw = Raw(service)
    raw.socket.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + head + b"\r\n")
    status, lines, body = raw.reply()
    assert (status, body["error"]["code"]) == (431, "head_too_large")
    assert b"x-content-type-options: nosniff" in lines


def test_a_header_without_end_is_431_before_it_fills_the_memory(service: Service) -> None:
    raw = Raw(service)
    raw.socket.sendall(b"GET /livez HTTP/1.1\r\nh: ")
    for _ in range(4):
        raw.socket.sendall(b"x" * (MAX_HEAD_BYTES // 2))
        time.sleep(0.05)
    assert raw.reply()[0] == 431


def test_a_connection_with_half_a_head_is_given_up_from_when_it_began(meanwhile: Mapping[str, Future[None]]) -> None:
    meanwhile["half_a_head"].result()


def test_a_connection_opened_ahead_waits_as_long_as_a_kept_one_and_hears_no_word_that_is_no_reply(
    meanwhile: Mapping[str, Future[None]],
) -> None:
    meanwhile["opened_ahead"].result()


def test_a_silent_connection_is_closed_without_a_word() -> None:
    class Quick(BoundedHttp):
        """Whose kept connections are given up soon."""

        timeout_keep_alive = 1

    class Transport:
        closed, written = False, b""

        def close(self) -> None:
            self.closed = True

        def write(self, data: bytes) -> None:
            self.written += data

    async def run() -> Transport:
        one, transport = object.__new__(Quick), Transport()
        one.loop, one.transport = asyncio.get_running_loop(), transport  # type: ignore[assignment]
        one._head_since = one.loop.time() - 1.5
        one._check_timeout()
        return transport

    transport = asyncio.run(run())
    assert (transport.closed, transport.written) == (True, b"")


def test_what_is_no_http_is_400_in_the_one_shape(service: Service) -> None:
    for noise in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\n\r\n",
        b"hello\r\n\r\n",
    ):
        raw = Raw(service)
        raw.socket.sendall(noise)
        status, _, body = raw.reply()
        assert (status, body["error"]["code"]) == (400, "malformed")


def test_a_kept_connection_waits_longer_than_a_head_may_take(meanwhile: Mapping[str, Future[None]]) -> None:
    meanwhile["kept"].result()


def test_a_wrong_key_or_none_is_401_and_a_fast_caller_429(bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path, bundle, RISKGATE_API_KEY="secret", RISKGATE_RATE_PER_SECOND="2") as service:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            reply = service.client.post("/v1/score", content=b"{}", headers=headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthorised")
        good = {"Authorization": "Bearer secret"}
        statuses = [service.client.post("/v1/score", content=b"{}", headers=good).status_code for _ in range(5)]
        assert statuses[:2] == [422, 422]
        assert 429 in statuses
        assert service.client.get("/livez").status_code == 200


def test_a_slow_form_of_the_desk_is_408_on_a_page(tmp_path: Path) -> None:
    world = DeskWorld(tmp_path)
    world.user()
    world.close()
    with console_process(world.var) as address:
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=15) as raw:
            raw.sendall(
                b"POST /sign-in HTTP/1.1\r\nhost: desk\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                b"content-length: 100\r\n\r\nname=asha"
            )
            received = raw.recv(65_536)
    assert received.startswith(b"HTTP/1.1 408")
    assert b"content-security-policy" in received.lower()
