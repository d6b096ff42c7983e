"""The examples of the documents work as printed, on a running service with the system's clock."""

from __future__ import annotations

import contextlib
import html
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from rich.console import Console

from tests.house.documents import DOCUMENTS, ROOT, blocks_of, name_of, text_of
from tests.serving.scoring_world import Service, rfc3339, running
from training.demo.demo import Demo, DemoAnswer
from training.demo.page import show
from training.settings import Settings

CLIENT = blocks_of(text_of(ROOT / "docs" / "integrate.md"), "python")
#: A whole block where every line belongs to a call of curl; of other blocks only those lines.
ONLY_CURL = re.compile(r"(?:(?:[A-Z_]+=(?:\$\([^)]*\)|\$\{[^}]*\}|[^\s$])+ ?)+\n)?(?:curl (?:[^\n']|'[^']*')*\n)+")
Decide = Callable[[dict[str, Any]], dict[str, Any]]


def curl_scripts(path: Path) -> list[str]:
    """Every call of curl in a document; a block of nothing else is one script."""
    scripts = []
    for block in blocks_of(text_of(path), "sh"):
        if ONLY_CURL.fullmatch(block):
            scripts.append(block)
        else:
            scripts += [line + "\n" for line in block.splitlines() if line.startswith("curl")]
    return scripts


SCRIPTS = [(name_of(path), script) for path in DOCUMENTS for script in curl_scripts(path)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Service]:
    """On the system's clock: a fixed date would be refused."""
    with running(tmp_path_factory.mktemp("service"), bundle, RISKGATE_CLOCK="system") as one:
        yield one


def shell(script: str, **more: str) -> list[dict[str, Any]]:
    """What each call of a script answered."""
    if shutil.which("curl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("curl is not installed")
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["sh", "-ec", script], env={**os.environ, **more}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    decoder, rest, replies = json.JSONDecoder(), done.stdout.strip(), []
    while rest:
        reply, end = decoder.raw_decode(rest)
        replies.append(reply)
        rest = rest[end:].strip()
    return replies


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


def payment(transaction_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id, "event_time": rfc3339(time.time_ns() // 1_000_000), "amount_minor": 125_000,
        "currency": "INR", "rail": "upi", "channel": "qr_static", "payer_id": "u-1", "instrument_id": "vpa-1",
        "payee_id": "m-1", "deadline_ms": 5_000,
    } | changes  # fmt: skip


# -- the client ----------------------------------------------------------------------------------


def test_the_document_holds_one_client_of_a_few_lines() -> None:
    assert len(CLIENT) == 1
    assert len([line for line in CLIENT[0].splitlines() if line.strip()]) <= 35


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


def test_a_refused_payment_gets_the_own_default_and_the_reason_is_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    reply = client_for(service.port)["decide"](payment("client-6", amount_minor=-1))
    assert reply["tier"] == "caller" and "422" in caplog.text and "out_of_range" in caplog.text


# -- curl ----------------------------------------------------------------------------------------


def test_the_documents_hold_the_examples() -> None:
    assert {name for name, _ in SCRIPTS} >= {"README.md", "docs/integrate.md", "docs/operate.md"}
    calls = sum(script.count("curl") for _, script in SCRIPTS)
    assert calls == sum(text.count("curl -s") for text in map(text_of, DOCUMENTS)) >= 7


@pytest.mark.parametrize(("name", "script"), SCRIPTS, ids=lambda text: text[:30].strip())
def test_every_curl_line_of_the_documents_works_as_printed(service: Service, name: str, script: str) -> None:
    replies = shell(script, RISKGATE_URL=f"http://127.0.0.1:{service.port}")
    assert len(replies) == script.count("curl ")
    assert [reply for reply in replies if "error" in reply] == []


def test_without_a_setting_the_examples_call_the_port_that_make_serve_listens_on() -> None:
    for name, script in SCRIPTS:
        assert "http://127.0.0.1:3000}" in script and "2026-" not in script, name


def test_the_curl_line_of_the_contract_page_works_as_printed(service: Service) -> None:
    page = service.client.get("/docs").text
    found = re.search(r"<pre>(curl .*?)</pre>", page, flags=re.S)
    assert found is not None
    script = html.unescape(found[1])
    assert f"http://127.0.0.1:{service.port}/v1/score" in script
    assert [reply["tier"] for reply in shell(script)] != []


def test_the_curl_lines_of_the_demo_work_as_printed(tmp_path: Path, bundle: Path) -> None:
    """The demo's service runs on the replay clock, which takes the time of its simulated world."""
    with running(tmp_path, bundle) as service:
        shown = payment("demo-1", event_time="2026-11-11T12:00:00Z", mcc="5411", payer_id="u-7")
        first = service.score(shown).json()
        demo = Demo(
            port=service.port, console_port=1, password="secret", typologies={"demo-1": None},
            answers=[DemoAnswer("demo-1", first["decision"])], example=json.dumps(shown).encode(), seconds=1.0,
        )  # fmt: skip
        console = Console(record=True, width=160, file=io.StringIO())
        show(console, demo, Settings())
        lines = [line.strip() for line in console.export_text().splitlines() if line.strip().startswith("curl")]
        replies = [shell(line) for line in lines]
    assert len(lines) == 3 and all(str(service.port) in line for line in lines)
    assert [one[0].get("error") for one in replies] == [None, None, None]
    assert "decision" in replies[0][0] and "receipt" in replies[1][0] and replies[2][0]["ready"] is True


# -- commands --------------------------------------------------------------------------------------


def test_verify_says_in_a_log_how_far_it_is(service: Service) -> None:
    assert httpx.get(f"http://127.0.0.1:{service.port}/livez").status_code == 200
    done = service.command("verify")
    assert re.search(r"^verifying: (\d+) of \1 \(100%\), done, \d+ s$", done.stderr, flags=re.M), done.stderr
