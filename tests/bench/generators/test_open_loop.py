"""The open-loop generator keeps its schedule, and counts waiting that a slow server causes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from tests.bench.generators import open_loop
from tests.bench.generators.open_loop import Seen


class Stalling(BaseHTTPRequestHandler):
    """Answers at once, but one at a time; the payment of amount 1 keeps it for 200 ms, 2 is refused, 3 is cut off."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # head and body leave together: no delayed acknowledgement between them
    turn = threading.Lock()

    def do_POST(self) -> None:
        payment = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.turn:
            if payment["amount"] == 1:
                time.sleep(0.2)
        if payment["amount"] == 3:
            self.close_connection = True
            return
        body = b'{"tier":"rules_only"}'
        self.send_response(503 if payment["amount"] == 2 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def bodies(amounts: list[int]) -> list[bytes]:
    return [b'{"amount":%d}' % amount for amount in amounts]


def test_requests_behind_a_stall_are_counted_from_when_they_were_due(port: int) -> None:
    seen = open_loop.open_loop(port, bodies([0] * 20 + [1] + [0] * 79), rate=400, connections=4)
    waited = (seen.replied_ns - seen.due_ns) / 1e6
    assert (seen.status == 200).all()
    # All but four wait for a connection: a closed loop would not have counted that.
    assert (waited[21:60] > 90).all()
    assert np.median(waited[:20]) < 50
    assert open_loop.figures(seen).p99_ms > 150


def test_refused_and_lost_requests_are_told_apart(port: int) -> None:
    found = open_loop.figures(open_loop.open_loop(port, bodies([0, 2, 2, 3, 0, 0]), rate=100, connections=2))
    assert (found.offered, found.answered, found.refused, found.failed) == (6, 3, 2, 1)
    assert found.lost_connections >= 1
    assert found.tiers["rules_only"] == 3


def test_figures_are_those_of_the_answers() -> None:
    due = np.arange(1_000) * 1_000_000
    status = np.where(np.arange(1_000) % 10 == 0, 503, 200).astype(np.int16)
    seen = Seen(due, due + 500_000, due + np.where(status == 503, 1, 4) * 1_000_000, status,
                np.ones(1_000, np.int8), 0, "")  # fmt: skip
    found = open_loop.figures(seen)
    assert (found.answered, found.refused, found.failed) == (900, 100, 0)
    assert found.p50_ms == found.max_ms == 4.0
    assert found.generator_late_p99_ms == 0.5
    assert found.tiers == {"none": 0, "full": 900, "stale": 0, "rules_only": 0, "default": 0}
    assert round(found.offered_per_second) == 1_000
