"""Requests leave on time whatever the server does, waiting is counted, and a closed connection loses nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from training.client.load_generator import send
from training.client.service_process import HOST
from training.load_test.rehearsal import FASTEST, SLOWEST, speed_of
from training.load_test.timeline import run_of


@contextmanager
def server(pause_s: float = 0.0, replies_per_connection: int = 1_000, silent_after: int = 10_000) -> Iterator[int]:
    """A server of one's own that answers every POST, closes connections, or falls silent."""
    listening = socket.create_server((HOST, 0))
    answered = [0]

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as read:
            for _ in range(replies_per_connection):
                length = 0
                line = read.readline()
                if not line:
                    return
                while (line := read.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                read.read(length)
                answered[0] += 1
                if answered[0] > silent_after:
                    return
                time.sleep(pause_s)
                body = b'{"transaction_id":"x","decision":"challenge","tier":"full"}'
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def test_every_request_is_answered_and_none_leaves_early() -> None:
    due = np.linspace(0, 0.5, 60)
    with server() as port:
        replies = send(port, "/v1/score", [b"{}"] * 60, due)
    assert (replies.status == 200).all()
    assert (replies.replied_s >= replies.due_s).all()


def test_a_slow_server_cannot_hide_behind_what_it_kept_waiting() -> None:
    due = np.linspace(0, 0.1, 200)
    with server(pause_s=0.05) as port:
        replies = send(port, "/v1/score", [b"{}"] * 200, due)
    assert (replies.status == 200).all()
    assert np.median(replies.waited_ms[100:]) > 60, "the later ones wait for connections, and that counts"


def test_a_connection_that_the_server_closes_loses_no_request() -> None:
    with server(replies_per_connection=2) as port:
        replies = send(port, "/v1/score", [b"{}"] * 200, np.linspace(0, 0.6, 200))
    assert (replies.status == 200).all()


def test_what_is_never_answered_has_missed_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.client.load_generator.PATIENCE_S", 0.5)
    with server(silent_after=20) as port:
        replies = send(port, "/v1/score", [b"{}"] * 40, np.linspace(0, 1.9, 40))
    typologies = ["mule" if i % 4 == 0 else None for i in range(40)]
    run = run_of("night", replies, 10_000.0, typologies, np.full(40, 100.0), ["00:00:00", "00:00:01"])
    assert run.offered == 40 and run.served < 40
    assert run.missed_deadlines == run.offered - run.served
    assert sum(s.offered for s in run.seconds) == 40 and run.tiers["none"] == run.missed_deadlines
    assert run.decisions["challenge"] == run.served
    assert run.by_typology[0].payments == 10 and run.by_typology[0].caught <= 10
    assert run.fraud_value_caught == pytest.approx(run.by_typology[0].caught / 10)


def test_the_rush_is_played_as_fast_as_the_machine_allows_and_not_faster() -> None:
    minute = np.sort(np.random.default_rng(0).integers(0, 60_000, 600))  # ten a second
    assert speed_of(minute, capacity=1_000.0) == pytest.approx(40.0)
    assert speed_of(minute, capacity=1e9) == pytest.approx(60.0)
    assert speed_of(minute[:1], capacity=1e9) == FASTEST
    assert speed_of(minute, capacity=1.0) == SLOWEST
