"""BentoML's own server serves, in every way of starting: what passes through it, how it stops, what it says."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import psutil
import pytest

from serving.ledger.sqlite.ledger import Ledger
from tests.serving.load import calling
from tests.serving.scoring_world import (
    BY_BENTOML,
    ROOT,
    Service,
    Way,
    bentoml_command,
    environment_of,
    payment,
    running,
)
from training.client.service_process import free_port

#: Marks every reply that passed through a middleware of the BentoML service.
MARKED = """
from serving.service import service
class Mark:
    def __init__(self, app): self.app = app
    async def __call__(self, scope, receive, send):
        async def marked(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-through", b"bentoml")]}
            await send(message)
        await self.app(scope, receive, marked if scope["type"] == "http" else send)
service.middlewares.insert(0, (Mark, {}))  # before ours: the outermost of the service's own
import sys
from serving.__main__ import main
sys.argv = ["serving", *sys.argv[1:]]
main()
"""
#: (method, path, body): one request to every route.
REQUESTS = (
    ("POST", "/v1/score/batch", '{"payments": []}'),
    ("POST", "/v1/outcomes", "{}"),
    ("POST", "/v1/labels", "{}"),
    ("GET", "/v1/receipts/nobody", ""),
    ("GET", "/livez", ""),
    ("GET", "/readyz", ""),
    ("GET", "/metrics", ""),
    ("GET", "/openapi.json", ""),
    ("GET", "/docs", ""),
    ("GET", "/", ""),
    ("GET", "/healthz", ""),
    ("GET", "/elsewhere", ""),
    ("POST", "/v1/score?explain=1", json.dumps(payment("explained"))),
)


def marked(port: int) -> list[str]:
    return [sys.executable, "-c", MARKED, "run", "--port", str(port)]


@pytest.fixture(scope="module", params=["on", "off"])
def through(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("through")
    environment = {"RISKGATE_FAST_PATH": request.param, "RISKGATE_KEEP_ALIVE_SECONDS": "1"}
    with running(folder, bundle, Way(marked), **environment) as service:
        yield service


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_every_route_but_the_fast_path_passes_through_bentomls_application(
    through: Service, method: str, path: str, body: str
) -> None:
    reply = through.client.request(method, path, content=body)
    assert reply.headers["x-through"] == "bentoml"


def test_a_plain_payment_passes_through_bentoml_unless_the_fast_path_takes_it(through: Service) -> None:
    fast = through.environment["RISKGATE_FAST_PATH"] == "on"
    reply = through.score(payment(f"plain-{fast}"))
    assert reply.status_code == 200
    assert ("x-through" not in reply.headers) == fast


def test_both_ways_answer_a_payment_alike(through: Service) -> None:
    body = payment("alike-first")
    fast, ordinary = through.score(body), through.score({**body, "transaction_id": "alike-second"}, "?explain=0")
    same = ("decision", "reasons", "rules", "tier", "missing", "model", "policy", "features")
    assert [fast.json()[name] for name in same] == [ordinary.json()[name] for name in same]
    for reply in (fast, ordinary):
        assert abs(parsedate_to_datetime(reply.headers.pop("date")).timestamp() - time.time()) < 5
        assert reply.headers["server-timing"].startswith("total;dur=")
    assert fast.headers["x-request-id"] != ordinary.headers["x-request-id"]
    dropped = {"x-through", "content-length", "x-request-id", "server-timing"}
    assert {n: v for n, v in fast.headers.items() if n not in dropped} == {
        n: v for n, v in ordinary.headers.items() if n not in dropped
    }


def test_an_idle_connection_is_closed_after_the_keep_alive(through: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", through.port, timeout=30)
    connection.request("POST", "/v1/score", body=json.dumps(payment("idle")))
    connection.getresponse().read()
    assert connection.sock.recv(1) == b""  # closed by the service
    connection.close()


# -- under BentoML's own command line ----------------------------------------------------------


def on_every_address(port: int) -> list[str]:
    return bentoml_command(port, host="0.0.0.0")


def by_bentomls_function(port: int) -> list[str]:
    """BentoML's server without its command line: only the worker can see on which address it listens."""
    call = f"service.serve_http(host='0.0.0.0', port={port})"
    return [sys.executable, "-c", f"from serving.service import service; {call}"]


@pytest.mark.parametrize(("way", "code"), [(on_every_address, 1), (by_bentomls_function, 0)])
def test_without_a_key_it_does_not_listen_on_every_address_whatever_the_settings_say(
    way: Callable[[int], list[str]], code: int, bundle: Path, tmp_path: Path
) -> None:
    done = ended(way(free_port()), environment_of(tmp_path / "var", bundle, {}))
    assert done.returncode == code
    assert "The service will not listen on 0.0.0.0 without an API key." in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "loopback only" not in done.stderr
    assert not (tmp_path / "var" / "ledger.sqlite").exists()


def test_a_port_in_use_is_one_sentence_and_an_exit_code(bundle: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        done = ended(bentoml_command(port), environment_of(tmp_path / "var", bundle, {}))
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 cannot be used: Address already in use." in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


KEY = "k" * 32
BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def keyed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """On every address, with a key; it drains for four seconds at least."""
    drain = {"RISKGATE_DRAIN_MIN_SECONDS": "4", "RISKGATE_DRAIN_SECONDS": "9"}
    folder = tmp_path_factory.mktemp("keyed")
    with running(folder, bundle, Way(on_every_address), RISKGATE_API_KEY=KEY, **drain) as service:
        yield service


def test_with_a_key_it_answers_who_has_it_and_outlives_bentomls_five_seconds_of_keep_alive(keyed: Service) -> None:
    assert keyed.score(payment("stranger")).status_code == 401
    connection = http.client.HTTPConnection("127.0.0.1", keyed.port, timeout=30)
    connection.request("POST", "/v1/score", body=json.dumps(payment("first")), headers=BEARER)
    assert connection.getresponse().read()
    connection.sock.settimeout(7)
    with pytest.raises(TimeoutError):
        connection.sock.recv(1)
    connection.request("POST", "/v1/score", body=json.dumps(payment("second")), headers=BEARER)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_quiet_service_keeps_its_port_open_for_the_minimum(keyed: Service) -> None:
    keyed.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while httpx.get(f"http://127.0.0.1:{keyed.port}/readyz", timeout=5).status_code != 503:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Several times the quiet after which a service without a minimum closes its port, and no request comes.
    time.sleep(1.0)
    url, body = f"http://127.0.0.1:{keyed.port}/v1/score", json.dumps(payment("late"))
    reply = httpx.post(url, content=body, headers=BEARER, timeout=5)
    assert reply.status_code == 200
    assert reply.headers["connection"] == "close"
    assert keyed.process.wait(60) == 0


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("RISKGATE_FAST_PATH", "perhaps", "RISKGATE_FAST_PATH is `perhaps`, not one of on, off."),
        ("RISKGATE_KEYS", "no-such-file", "There is no key file "),
    ],
)
def test_a_wrong_start_is_one_sentence(setting: str, value: str, words: str, bundle: Path, tmp_path: Path) -> None:
    done = ended(bentoml_command(free_port()), environment_of(tmp_path / "var", bundle, {setting: value}))
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def ended(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_killed_worker_comes_back_and_sigterm_drains_what_was_taken_up(bundle: Path, tmp_path: Path) -> None:
    logged = {"RISKGATE_LOG": "json", "RISKGATE_LOG_DECISIONS": "all", "RISKGATE_DRAIN_SECONDS": "1"}
    with running(tmp_path, bundle, BY_BENTOML, **logged) as service:
        assert service.score(payment("before")).json()["receipt_id"]
        for child in psutil.Process(service.process.pid).children():
            child.kill()
            child.wait(10)
        service.wait_until_ready()
        assert service.client.get("/v1/receipts/before").status_code == 200
        with calling(service.port, lanes=4) as callers:
            callers.again = False
            callers.wait_for(50)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(60) == 0
            heard = callers.end()
    ledger = Ledger(tmp_path / "var" / "ledger.sqlite", read_only=True)
    names = {event.transaction_id for event in ledger.walk() if event.kind == "payment"}
    ledger.release()
    assert names == {"before", *heard.answers}
    assert not heard.refusals
    assert list((tmp_path / "var" / "snapshots").glob("*.state"))
    # RISKGATE_LOG is obeyed to the last line, by the supervisor too.
    words = [json.loads(line)["message"] for line in service.log.read_text().splitlines()]
    assert any(line.startswith("the port closes") for line in words)


def test_a_sigterm_before_the_server_handles_signals_ends_the_start(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serving", "run", "--port", str(free_port())]
    process = subprocess.Popen(command, cwd=ROOT, env=environment_of(tmp_path, bundle, {}), stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not _catches(process.pid, signal.SIGTERM):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, written = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, written.decode()
    assert b"ready:" not in written


def _catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), 16)
    return bool(caught >> (number - 1) & 1)
