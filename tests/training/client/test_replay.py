"""A replay sends one message after the other, and stops at the first that the service does not accept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from training.client.replay_requests import LABELS, SCORE, Message, replay
from training.client.service_process import HOST, ServiceTrouble, free_port

LOG = Path("service.log")


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"hang up":
            self.close_connection = True
            return
        self.server.received.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(409 if body == b"refuse" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[HTTPServer]:
    with HTTPServer((HOST, 0), _Answers) as server:
        server.received = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_each_message_is_sent_after_the_answer_to_the_one_before(service: HTTPServer) -> None:
    received: list[Message] = service.received  # type: ignore[attr-defined]
    answered: list[int] = []

    def messages() -> Iterator[Message]:
        for number in range(40):
            assert len(received) == len(answered) == number
            yield (LABELS if number % 3 else SCORE), b"%d!" % number

    for path, body, answer in replay(service.server_port, messages(), LOG):
        assert (path, body) == received[-1] and answer == body[::-1]
        answered.append(len(answered))
    assert [body for _, body in received] == [b"%d!" % number for number in range(40)]


@pytest.mark.parametrize(("body", "says"), [(b"refuse", "answered 409: esufer"), (b"hang up", "not answered")])
def test_what_the_service_does_not_accept_ends_the_replay(service: HTTPServer, body: bytes, says: str) -> None:
    sending = replay(service.server_port, [(SCORE, b"1"), (SCORE, body), (SCORE, b"2")], LOG)
    assert next(sending) == (SCORE, b"1", b"1")
    with pytest.raises(ServiceTrouble, match=f"{says}.*service.log"):
        next(sending)
    assert (SCORE, b"2") not in service.received  # type: ignore[attr-defined]


def test_a_service_that_is_not_there_is_named_as_the_trouble() -> None:
    with pytest.raises(ServiceTrouble, match="not answered"):
        list(replay(free_port(), [(SCORE, b"1")], LOG))
