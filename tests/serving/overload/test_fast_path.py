"""The fast path of shed payments, over a real port: the same contract as the application, and verifiable."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn

from serving.api.app import Application
from serving.audit.verify import verify_ledger
from serving.decision.evaluator import DEFAULT, RULES_ONLY
from serving.decision.receipt import decode_body
from serving.messages import Error
from serving.overload.admission import QueueAdmission
from serving.overload.admission_queue import AdmissionQueue
from serving.overload.connection import protocol_of
from serving.overload.load_shedding import REFUSED, tier_for
from serving.overload.plain_head import PlainHead
from serving.overload.queued_payment import Refusal
from serving.server.headers import ALWAYS
from serving.settings import Settings
from serving.start_checks import authenticator_of
from serving.store_config import LedgerConfig
from tests.serving.asgi import runtime_with
from tests.serving.full_disk import full_disk
from tests.serving.scoring_world import BLOCKED, START_MS, payment

KEY = "a-key-of-some-length"


class Shedding:
    """The application behind uvicorn in this process, with every payment shed to one tier while there is one."""

    def __init__(self, var: Path, bundle: Path, tier: str) -> None:
        self.var = var
        self.tier: str | None = tier
        self.runtime = runtime_with(Settings(var=var, clock="replay", api_key=KEY), bundle)
        self.runtime.load()
        self.application = Application()
        # No payment is too young to be shed.
        self.queue = AdmissionQueue(tier_for=self.tier_for, max_kernel_age_ms=-1.0)
        QueueAdmission(self.application, self.queue)
        self.application.serve(self.runtime, authenticator_of(self.runtime.settings))
        config = uvicorn.Config(
            self.application, host="127.0.0.1", port=0, http=protocol_of(self.queue), lifespan="off",
            log_level="warning", access_log=False, server_header=False, date_header=False,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]

    def tier_for(self, *load: Any, **standing: Any) -> str:
        return self.tier or tier_for(*load, **standing)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        asyncio.run(self.runtime.end())

    def send(self, fields: Any, key: str = KEY) -> tuple[int, dict[str, str], dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        connection.request("POST", "/v1/score", body, {"Authorization": f"Bearer {key}"})
        reply = connection.getresponse()
        body: dict[str, Any] = json.loads(reply.read())
        connection.close()
        return reply.status, dict(reply.getheaders()), body

    def request(self, fields: dict[str, Any]) -> bytes:
        body = json.dumps(fields).encode()
        head = (
            f"POST /v1/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@pytest.fixture(params=[RULES_ONLY, DEFAULT])
def shedding(request: pytest.FixtureRequest, bundle: Path, tmp_path: Path) -> Iterator[Shedding]:
    one = Shedding(tmp_path / "var", bundle, request.param)
    yield one
    one.stop()
    result = verify_ledger(LedgerConfig(one.var))
    assert (result.mismatches, result.differences) == (0, [])


def test_a_shed_payment_is_decided_recorded_and_says_so(shedding: Shedding) -> None:
    status, _, answer = shedding.send(payment("a"))
    assert (status, answer["tier"], answer["score"]) == (200, shedding.tier, None)
    assert "model" in answer["missing"]
    assert shedding.queue.shed[answer["tier"]] == 1
    event = shedding.runtime.ledger.payment("a")
    assert event is not None
    receipt = decode_body(event.body).receipt
    assert (receipt.vector, receipt.folded, receipt.receipt_id) == (None, True, answer["receipt_id"])
    assert len(event.body) < 2_000, "a shed decision costs little to keep"
    # The payment counts: the next one of this payer has seen it.
    shedding.send(payment("b", START_MS + 1_000))
    second = shedding.runtime.ledger.payment("b")
    assert second is not None
    assert decode_body(second.body).receipt.seen[0] == 1


def test_large_and_listed_payments_are_not_approved_for_being_shed(shedding: Shedding) -> None:
    assert shedding.send(payment("large", amount_minor=90_000_000))[2]["decision"] == "challenge"
    assert shedding.send(payment("listed", payer_id=BLOCKED))[2]["decision"] == "decline"


def test_exposure_bounds_what_is_approved_while_shedding(shedding: Shedding) -> None:
    assert shedding.runtime.engine is not None
    now_ns = time.time_ns()
    shedding.runtime.engine.decider.wall_ns = lambda: now_ns
    found = [shedding.send(payment(f"e-{n}", amount_minor=30_000))[2]["decision"] for n in range(6)]
    assert found == ["approve"] * 3 + ["challenge"] * 3


def test_a_retry_gets_the_same_answer_and_other_content_a_conflict(shedding: Shedding) -> None:
    first = shedding.send(payment("again"))
    status, headers, second = shedding.send(payment("again"))
    assert (status, second) == (200, first[2])
    assert headers["idempotent-replay"] == "true"
    status, _, body = shedding.send(payment("again", amount_minor=1))
    assert (status, body["error"]["field"]) == (409, "transaction_id")


def test_errors_are_those_of_the_application(shedding: Shedding) -> None:
    assert shedding.send(payment("x"), key="wrong")[0] == 401
    assert shedding.send(payment("x"), key="wrong")[1]["www-authenticate"] == "Bearer"
    assert shedding.send(b"{")[0] == 400
    status, _, body = shedding.send(payment("x", amount_minor=-1, currency=""))
    assert (status, len(body["error"]["problems"])) == (422, 2)
    assert shedding.send(payment("x" * 70_000))[0] == 413


def test_requests_in_pieces_and_in_one_piece_are_answered_in_order(shedding: Shedding) -> None:
    with socket.create_connection(("127.0.0.1", shedding.port), timeout=10) as line:
        whole = shedding.request(payment("piece"))
        for part in (whole[:150], whole[150:200], whole[200:]):
            line.sendall(part)
            time.sleep(0.03)
        assert b"piece" in read_replies(line, 1)[0]
        line.sendall(b"".join(shedding.request(payment(f"p-{n}", START_MS + n)) for n in range(5)))
        replies = read_replies(line, 5)
        assert [json.loads(reply)["transaction_id"] for reply in replies] == [f"p-{n}" for n in range(5)]
        line.sendall(shedding.request(payment("last")))
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [b"last" in reply or b"live" in reply for reply in read_replies(line, 2)] == [True, True]


def read_replies(line: socket.socket, count: int) -> list[bytes]:
    """Bodies of so many replies, by their lengths."""
    received, bodies = b"", list[bytes]()
    while len(bodies) < count:
        end = received.find(b"\r\n\r\n")
        if end >= 0:
            head = received[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(received) >= end + 4 + length:
                bodies.append(received[end + 4 : end + 4 + length])
                received = received[end + 4 + length :]
                continue
        chunk = line.recv(65_536)
        assert chunk, "the connection was closed"
        received += chunk
    return bodies


def test_a_ledger_that_fails_leaves_a_decision_without_a_receipt(shedding: Shedding) -> None:
    with full_disk(shedding.runtime.ledger.path):
        status, _, answer = shedding.send(payment("lost"))
        assert (status, answer["tier"], answer["missing"], answer["receipt_id"]) == (200, DEFAULT, ["ledger"], None)
    engine, feedback = shedding.runtime.engine, shedding.runtime.feedback
    assert engine is not None
    assert feedback is not None
    asyncio.run(shedding.runtime.rebuild(engine, feedback))
    assert shedding.send(payment("found"))[2]["receipt_id"]


def test_the_refusal_has_the_shape_of_every_error() -> None:
    head, _, body = Refusal(ALWAYS).to(PlainHead(0, 0, b"", None, b"r-1")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1" in head
    assert b"\r\ncache-control: no-store" in head
    assert b"\r\ndate: " in head
    assert b"\r\nx-request-id: r-1\r\n" in head
    assert f"content-length: {len(body)}".encode() in head
    assert msgspec.json.decode(body, type=Error).error.code == "overloaded"


def test_refused_payments_leave_no_trace_and_the_connection_goes_on(bundle: Path, tmp_path: Path) -> None:
    one = Shedding(tmp_path / "var", bundle, REFUSED)
    try:
        with socket.create_connection(("127.0.0.1", one.port), timeout=10) as line:
            line.sendall(one.request(payment("r")) * 2)  # two at once go the ordinary way: decided
            assert all(b'"full"' in reply for reply in read_replies(line, 2))
            line.sendall(one.request(payment("refused")))
            assert b"overloaded" in read_replies(line, 1)[0]
            assert one.queue.refused == 1
            assert one.runtime.ledger.payment("refused") is None
            one.tier = None
            line.sendall(one.request(payment("refused")))
            assert b'"full"' in read_replies(line, 1)[0]
        text = one.runtime.metrics.text().decode()
        assert "riskgate_refused_total 1.0" in text
    finally:
        one.stop()
