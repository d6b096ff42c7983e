"""The age of a payment is counted from when its bytes reached this machine, whatever the process was doing."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import time

from serving.overload.connection import PaymentConnection
from tests.serving.overload.test_fast_path import read_replies
from tests.serving.scoring_world import START_MS, Service, payment


def request(fields: dict[str, object]) -> bytes:
    body = json.dumps(fields).encode()
    return b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_a_payment_that_waited_in_the_socket_has_used_up_its_deadline(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        line.sendall(request(payment("warm-up", START_MS)))
        read_replies(line, 1)
        os.kill(service.process.pid, signal.SIGSTOP)
        try:
            line.sendall(request(payment("held-up", START_MS + 1, deadline_ms=80)))
            time.sleep(0.3)
        finally:
            os.kill(service.process.pid, signal.SIGCONT)
        answer = json.loads(read_replies(line, 1)[0])
        assert (answer["tier"], answer["score"]) == ("default", None)
        line.sendall(request(payment("patient", START_MS + 2, deadline_ms=80)))
        assert json.loads(read_replies(line, 1)[0])["tier"] == "full"
    waited = service.receipt("held-up")["receipt"]["timings_us"]["wait"]
    assert 250_000 <= waited <= 5_000_000


def test_a_patient_caller_gets_the_full_tier_even_then(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        os.kill(service.process.pid, signal.SIGSTOP)
        try:
            line.sendall(request(payment("slept", START_MS + 3, deadline_ms=5_000)))
            time.sleep(0.12)
        finally:
            os.kill(service.process.pid, signal.SIGCONT)
        answer = json.loads(read_replies(line, 1)[0])
        assert answer["tier"] == "full"
        assert service.receipt("slept")["receipt"]["timings_us"]["wait"] >= 100_000


def test_unusual_requests_go_to_the_application(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        body = json.dumps(payment("chunked", START_MS + 4)).encode()
        head = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        line.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert b'"full"' in read_replies(line, 1)[0]
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        sent = request(payment("closing", START_MS + 5)).replace(
            b"Host: localhost", b"Host: localhost\r\nConnection: close"
        )
        line.sendall(sent)
        assert b'"full"' in read_replies(line, 1)[0]
        assert line.recv(10) == b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        twice = request(payment("twice", START_MS + 6)).replace(
            b"Host: localhost", b"Content-Length: 3\r\nHost: localhost"
        )
        line.sendall(twice)
        assert line.recv(100).startswith(b"HTTP/1.1 400")


def test_a_locked_ledger_does_not_hold_an_answer_past_its_deadline(service: Service) -> None:
    """Another process writes for half a second: payments are decided in time, and recorded afterwards."""
    held = sqlite3.connect(service.var / "ledger.sqlite", isolation_level=None, timeout=10)
    held.execute("BEGIN IMMEDIATE")
    fields = payment("meanwhile", START_MS + 60_000)
    began = time.monotonic()
    answer = service.score(fields).json()
    waited = time.monotonic() - began
    again = service.score(fields)
    held.execute("ROLLBACK")
    held.close()
    assert waited < 0.4, "it was not held until the lock was gone"
    assert (answer["tier"], answer["receipt_id"], answer["missing"]) == ("full", None, ["ledger"])
    assert (again.json(), again.headers["idempotent-replay"]) == (answer, "true")
    deadline = time.monotonic() + 10
    while (after := service.score(fields).json())["receipt_id"] is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert after["receipt_id"] is not None
    assert after | {"receipt_id": None, "missing": ["ledger"]} == answer
    assert service.receipt("meanwhile")["answer"] == after
    assert service.score(payment("later", START_MS + 61_000)).json()["receipt_id"] is not None


def test_all_of_that_can_be_proved(service: Service) -> None:
    done = service.command("verify")
    assert done.returncode == 0, done.stdout + done.stderr


class Later:
    """The loop and the transport of a connection: they hold what is put off, and what is written."""

    def __init__(self) -> None:
        self.put_off: list[object] = []
        self.written: list[bytes] = []
        self.call_soon = self.put_off.append
        self.write = self.written.append

    def is_closing(self) -> bool:
        return False


def test_the_next_payment_in_line_waits_for_a_turn_of_its_own() -> None:
    """A reply is written while the ledger writes: decided just then, a payment would stand in another place."""
    line = PaymentConnection.__new__(PaymentConnection)
    line.loop = line.transport = Later()
    line.busy, line._closing, line._pipelined = True, False, b"POST /v1/score HTTP/1.1\r\n"
    line.timeout_keep_alive_task = object()
    heard: list[bytes] = []
    line.data_received = heard.append
    line._reply(b"decided")
    assert (line.transport.written, heard, line.loop.put_off) == ([b"decided"], [], [line._read_pipelined])
    line._read_pipelined()
    assert (heard, line._pipelined) == ([b"POST /v1/score HTTP/1.1\r\n"], b"")
