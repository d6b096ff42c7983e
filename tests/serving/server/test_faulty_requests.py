"""A request that is refused before it reaches the application ends its connection, and only in its own turn."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from serving.server.bounded_http import BoundedHttp
from serving.server.head_faults import fault_in
from tests.serving.overload.proxy_traffic import reply_from

HOST = b"Host: risk\r\n"
SLOW = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says what it was asked; the path says whether it takes its time, and whether it reads the body."""
    body = b""
    more = scope["path"] != "/unread"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message["body"]
        more = message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(0.05)
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    reply = json.dumps({"path": scope["path"], "body": body.decode(), "headers": headers}).encode()
    length = (b"content-length", str(len(reply)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": reply})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(
        echo, host="127.0.0.1", port=0, http=BoundedHttp, lifespan="off", log_level="error", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(30)


def replies(port: int, *pieces: bytes) -> list[tuple[int, dict[str, Any]]]:
    """(status, body) of every reply until the service closes the connection."""

    async def run() -> list[tuple[int, dict[str, Any]]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        found = []
        while True:
            try:
                status, _, body = await asyncio.wait_for(reply_from(reader, False), 10)
            except asyncio.IncompleteReadError as error:
                assert error.partial == b""
                writer.close()
                return found
            found.append((status, json.loads(body)))

    return asyncio.run(run())


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize(
    ("faulty", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 70 + b"\r\n", 431),
        (b"GET /x HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 20_000, 431),
        (CHUNKED + b"2\r\nab\r\n!", 400),
        (b"CONNECT risk:80 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    ],
)
def test_the_refusal_comes_after_the_replies_to_what_was_asked_before(
    port: int, before: int, faulty: bytes, status: int
) -> None:
    found = replies(port, SLOW * before + faulty + b"GET /after HTTP/1.1\r\n" + HOST + b"\r\n")
    assert [one[0] for one in found] == [200] * before + [status]
    assert all(reply["path"] == "/slow" for _, reply in found[:-1])
    assert set(found[-1][1]["error"]) == {"code", "message", "repair"}


def test_a_body_that_turns_out_faulty_after_its_reply_gets_no_second_one(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(CHUNKED.replace(b"/body", b"/unread"))
        received = line.recv(65_536)
        while not received.endswith(b"}}"):
            received += line.recv(65_536)
        assert received.startswith(b"HTTP/1.1 200")
        line.sendall(b"2\r\nab\r\n!")
        assert line.recv(65_536) == b""


def test_an_offer_to_upgrade_is_ignored_and_the_body_is_read(port: int) -> None:
    offer = b"POST /body HTTP/1.1\r\n" + HOST + OFFER + b"Content-Length: 4\r\n\r\nbody"
    chunked = CHUNKED.replace(HOST, HOST + OFFER) + b"4\r\nbody\r\n0\r\n\r\n"
    last = b"GET /slow HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    for pieces in (
        (offer + chunked + offer + last,),
        (offer[:60], offer[60:-2], offer[-2:] + chunked[:-9], chunked[-9:] + last),
    ):
        reply = [one["body"] for _, one in replies(port, *pieces)]
        assert reply == ["body"] * (len(reply) - 1) + [""]
        assert len(reply) in (3, 4)


def test_a_trailer_is_no_header_and_blanks_are_no_part_of_a_value(port: int) -> None:
    body = b"1\r\na\r\n0\r\nAuthorization: Bearer k\r\nX-B: c\r\n\r\n"
    last = b"GET /slow HTTP/1.1\r\n" + HOST + b"X-A:  \tb \t\r\nConnection: close\r\n\r\n"
    (_, first), (_, second) = replies(port, CHUNKED + body + last)
    assert first["headers"] == {"host": "risk", "transfer-encoding": "chunked"}
    assert second["headers"]["x-a"] == "b"


def test_the_host_of_an_absolute_target_overrules_the_header(port: int) -> None:
    ((_, reply),) = replies(port, b"GET http://evil:80/slow HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert (reply["path"], reply["headers"]["host"]) == ("/slow", "evil:80")


def test_what_the_parser_says_of_a_faulty_request_is_passed_on_but_nothing_of_the_request(port: int) -> None:
    two = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"
    ((_, reply),) = replies(port, two)
    assert reply["error"]["message"] == "This is not an HTTP request: Duplicate Content-Length."
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET 4111111111111111 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"4111" not in line.recv(65_536)


def test_each_header_that_may_stand_once_is_refused_twice_and_others_are_not() -> None:
    sound = [(b"host", b"risk"), (b"content-length", b"2"), (b"x-forwarded-for", b"a"), (b"x-forwarded-for", b"b")]
    assert fault_in(b"POST", b"/v1/score", "1.1", sound) is None
    for name in (b"authorization", b"content-length", b"content-type", b"host", b"origin"):
        fault = fault_in(b"POST", b"/v1/score", "1.1", [*sound, (name, b"risk"), (name, b"risk")])
        assert fault is not None
        assert (fault.status, fault.message) == (400, f"The header `{name.decode()}` stands twice.")
    assert fault_in(b"GET", b"/", "1.0", []) is None
