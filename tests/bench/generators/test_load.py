"""The load generator measures what it says: against a server whose behaviour is known."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.bench import rounds
from tests.bench.generators import load
from tests.bench.inputs import payments


class Slow(BaseHTTPRequestHandler):
    """Answers each request after 20 ms, refuses every amount of 13, in two pieces."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        payment = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(payment["transaction_id"])
        time.sleep(0.02)
        body = b'{"tier":"full"}'
        self.send_response(422 if payment["amount_minor"] == 13 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:5])
        self.wfile.flush()
        self.wfile.write(body[5:])

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    Slow.seen.clear()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_eight_connections_on_a_20_ms_server_see_400_a_second_at_most(port: int) -> None:
    requests = load.requests_from(payments.bodies(2_000, seed=1), "/v1/score")
    seen = load.closed_loop(port, requests, 8, warm_seconds=0.1, seconds=1.5, mark=b'"tier":"full"')
    assert 20 <= seen.p50_ms <= seen.p99_ms <= seen.max_ms
    assert 0 < seen.requests_per_second <= 400
    assert seen.errors == 0
    assert seen.marked == seen.requests
    assert len(set(Slow.seen)) == len(Slow.seen), "a body was sent twice"


def test_a_refused_request_is_counted_and_shown(port: int) -> None:
    bodies = [b'{"transaction_id":"%d","amount_minor":13}' % n for n in range(40)]
    seen = load.closed_loop(port, load.requests_from(bodies, "/v1/score"), 4, 0.0, 5.0, b"full")
    assert seen.errors == seen.requests == 40
    assert seen.marked == 0
    assert seen.used_up
    assert "422" in seen.example


def summary_of(requests: int, latency_ms: float) -> load.Load:
    """A second in which every request took the same time."""
    return load.summary(np.full(requests, int(latency_ms * 1e6)), seconds=1.0, marked=requests)


def test_percentiles_are_those_of_the_latencies() -> None:
    seen = load.summary(np.arange(1, 1001) * 1_000_000, seconds=2.0)
    assert (round(seen.p50_ms), round(seen.p99_ms), seen.max_ms) == (500, 990, 1000.0)
    assert seen.requests_per_second == 500


def test_the_typical_round_is_the_median_and_errors_add_up() -> None:
    runs = [load.summary(np.full(n, 1_000_000), seconds=1.0, errors=1) for n in (100, 900, 200)]
    typical = rounds.typical([rounds.Round(run, cpu_us) for run, cpu_us in zip(runs, (9.0, 5.0, 7.0), strict=True)])
    assert typical["cpu_us_per_request"] == 7.0
    assert typical["requests_per_second"] == 200
    assert typical["errors"] == 3


def test_bodies_of_different_rounds_share_no_transaction() -> None:
    ids = [json.loads(body)["transaction_id"] for seed in (1, 2) for body in payments.bodies(50, seed)]
    assert len(set(ids)) == 100
