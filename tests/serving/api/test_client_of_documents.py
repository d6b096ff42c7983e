"""The client of docs/integrate.md, executed: against a real service, and against replies that it must not approve."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.house.documents import ROOT, blocks_of, text_of
from tests.serving.api.present_payments import payment
from tests.serving.scoring_world import BLOCKED, Service, running

CLIENT = blocks_of(text_of(ROOT / "docs" / "integrate.md"), "python")
Decide = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Service]:
    """On the system's clock: a fixed date would be refused."""
    with running(tmp_path_factory.mktemp("service"), bundle, RISKGATE_CLOCK="system") as one:
        yield one


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is bound and never listens: every connection is refused."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield int(one.getsockname()[1])


@pytest.fixture
def half_answering_port() -> Iterator[int]:
    """A port that answers every request with half a reply."""

    def answer(one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = one.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        threading.Thread(target=answer, args=(one,), daemon=True).start()
        yield int(one.getsockname()[1])
        one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield int(one.getsockname()[1])


def client_for(port: int, timeout_s: float = 10.0) -> dict[str, Any]:
    """The client of docs/integrate.md as a program calls it, with another address and timeout."""
    client: dict[str, Any] = {"__name__": "client"}
    exec(compile(CLIENT[0], "docs/integrate.md", "exec"), client)
    client |= {"URL": urlsplit(f"http://127.0.0.1:{port}"), "TOKEN": None, "TIMEOUT_S": timeout_s}
    return client


def test_the_document_holds_one_client_of_a_few_lines() -> None:
    assert len(CLIENT) == 1
    assert len([line for line in CLIENT[0].splitlines() if line.strip()]) <= 55


def test_the_client_gets_the_services_decision(service: Service) -> None:
    reply = client_for(service.port)["decide"](payment("client-1"))
    assert reply["tier"] == "full" and reply["receipt_id"]
    assert service.receipt("client-1")["answer"]["decision"] == reply["decision"]


def test_the_client_runs_as_a_program(service: Service) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RISKGATE_")}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT[0].replace("TIMEOUT_S = 0.2", "TIMEOUT_S = 10")],
        env=environment | {"RISKGATE_URL": f"http://127.0.0.1:{service.port}"},
        input=json.dumps(payment("client-0")), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["receipt_id"], done.stdout


def test_a_second_attempt_counts_as_the_same_payment(service: Service) -> None:
    sent: dict[str, Any] = payment("client-2")
    decide: Decide = client_for(service.port)["decide"]
    assert decide(sent) == decide(sent)


def test_without_an_answer_the_client_decides_by_its_own_default(closed_port: int) -> None:
    decide: Decide = client_for(closed_port)["decide"]
    assert decide(payment("client-3")) == {"decision": "approve", "tier": "caller"}
    assert decide(payment("client-4", amount_minor=200_001)) == {"decision": "challenge", "tier": "caller"}


def test_a_service_that_hangs_holds_the_client_for_two_timeouts(silent_port: int) -> None:
    began = time.monotonic()
    reply = client_for(silent_port, timeout_s=0.2)["decide"](payment("client-5"))
    assert reply == {"decision": "approve", "tier": "caller"}
    assert 0.35 <= time.monotonic() - began < 5


def test_half_a_reply_is_no_decision(half_answering_port: int) -> None:
    assert client_for(half_answering_port)["decide"](payment("client-7")) == {"decision": "approve", "tier": "caller"}


@pytest.mark.parametrize("changes", [{"amount_minor": -1}, {"amount_minor": "1250"}, {"payer_id": " "}])
def test_a_payment_that_is_not_valid_is_never_approved_and_the_reason_is_logged(
    service: Service, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    reply = client_for(service.port)["decide"](payment("client-6", **changes))
    assert reply == {"decision": "decline", "tier": "caller"}
    assert "422" in caplog.text and next(iter(changes)) in caplog.text


def test_a_retry_with_another_amount_gets_the_recorded_decision_and_never_an_approval(service: Service) -> None:
    decide: Decide = client_for(service.port)["decide"]
    for number, (payer, found) in enumerate(((BLOCKED, "decline"), ("u-1", "challenge"))):
        first = decide(payment(f"client-8-{number}", payer_id=payer))
        assert first["decision"] == ("decline" if payer == BLOCKED else "approve")
        again = decide(payment(f"client-8-{number}", payer_id=payer, amount_minor=1_000))
        assert again == {"decision": found, "tier": "caller"}


REFUSALS = [
    *((status, "{}", "decline") for status in (400, 401, 403, 404, 405, 413, 415, 422, 431)),
    (409, '{"error": {"code": "conflict", "decision": "review"}}', "review"),
    (409, '{"error": {"code": "conflict", "decision": "approve"}}', "challenge"),
    *((409, text, "decline") for text in ('{"error": {"code": "conflict"}}', '{"error": null}', "[]", "<html>")),
    *((status, "{}", "approve") for status in (408, 429, 500, 502, 503, 504)),
]


@pytest.mark.parametrize(("status", "text", "decision"), REFUSALS)
def test_the_client_approves_only_where_the_fault_is_not_its_own(status: int, text: str, decision: str) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reply = client_for(server.server_port)["decide"](payment("client-9"))
        server.shutdown()
    assert reply == {"decision": decision, "tier": "caller"}


@given(
    st.dictionaries(st.sampled_from(("amount_minor", "currency")), st.one_of(
        st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=4), st.lists(st.integers(), max_size=1),
        st.sampled_from(("INR", "inr", "USD", "KWD", "XXX", 200_000, 200_001, 2_400, 700)),
    ))
)  # fmt: skip
def test_the_own_default_approves_only_what_the_table_of_its_currency_allows(sent: dict[str, Any]) -> None:
    client = client_for(1)
    reply = client["own_default"](sent, "a test")
    amount, currency = sent.get("amount_minor"), sent.get("currency")
    bound = client["APPROVE_UP_TO"].get(currency.upper() if isinstance(currency, str) else None, -1)
    allowed = isinstance(amount, int) and not isinstance(amount, bool) and 0 <= amount <= bound
    assert reply == {"decision": "approve" if allowed else "challenge", "tier": "caller"}


def test_the_own_default_knows_minor_units_by_currency() -> None:
    own_default: Any = client_for(1)["own_default"]
    found = [own_default({"amount_minor": 200_000, "currency": one}, "")["decision"] for one in ("INR", "USD", "KWD")]
    assert found == ["approve", "challenge", "challenge"]
