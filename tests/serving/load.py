"""Callers that send payments to a service until told to stop, and remember what they were answered."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.serving.scoring_world import START_MS, payment, suspicious


@dataclass
class Heard:
    """What callers heard: answers by transaction, refusals, and payments nobody answered."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: list[tuple[str, int]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    replayed: set[str] = field(default_factory=set)
    #: (sent, answered, in full and recorded) of each answer, monotonic seconds.
    times: list[tuple[float, float, bool]] = field(default_factory=list)

    def recorded(self) -> set[str]:
        """Transactions whose answer names a receipt: these must be in the ledger."""
        return {name for name, answer in self.answers.items() if answer["receipt_id"] is not None}


Make = Callable[[str, int], dict[str, Any]]


def mixed(name: str, place: int) -> dict[str, Any]:
    """Ordinary payments of few payers, every seventh suspicious."""
    make = suspicious if place % 7 == 0 else payment
    return make(name, START_MS + place * 10, payer_id=f"u-{place % 11}", payee_id=f"m-{place % 5}")


class Callers:
    """Threads with a kept-alive connection each, one payment at a time."""

    def __init__(self, port: int, lanes: int = 4, make: Make = mixed, prefix: str = "p", pause: float = 0.0) -> None:
        self.port, self.make, self.prefix, self.pause = port, make, prefix, pause
        self.heard = Heard()
        self.again = True  # send a payment again that nobody answered
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._lane, args=(lane,), daemon=True) for lane in range(lanes)]

    def begin(self) -> Callers:
        """Start sending."""
        for thread in self._threads:
            thread.start()
        return self

    def end(self) -> Heard:
        """Stop after the payments under way."""
        self._ending.set()
        for thread in self._threads:
            thread.join(30)
        return self.heard

    def wait_for(self, answers: int, patience_seconds: float = 60) -> None:
        """Wait until so many payments more than now are answered."""
        goal, deadline = len(self.heard.answers) + answers, time.monotonic() + patience_seconds
        while len(self.heard.answers) < goal:
            assert time.monotonic() < deadline, f"{len(self.heard.answers)} of {goal} answers"
            time.sleep(0.01)

    def _lane(self, lane: int) -> None:
        connection: http.client.HTTPConnection | None = None
        place = 0
        while not self._ending.is_set():
            place += 1
            name = f"{self.prefix}-{lane}-{place}"
            body = json.dumps(self.make(name, place))
            while True:
                connection, answered = self._send(connection, name, body)
                if answered or self._ending.is_set() or not self.again:
                    break
                time.sleep(0.02)
            if not answered:
                self.heard.unanswered.append(name)
            if self.pause:
                time.sleep(self.pause)
        if connection is not None:
            connection.close()

    def _send(
        self, connection: http.client.HTTPConnection | None, name: str, body: str
    ) -> tuple[http.client.HTTPConnection | None, bool]:
        began = time.monotonic()
        try:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("POST", "/v1/score", body)
            reply = connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException):
            if connection is not None:
                connection.close()
            return None, False
        if reply.will_close:
            connection.close()
            connection = None
        if reply.status == 503:
            self.heard.refusals.append((name, reply.status))
            return connection, False
        if reply.status != 200:
            self.heard.refusals.append((name, reply.status))
            return connection, True
        answer = json.loads(text)
        self.heard.answers[name] = answer
        whole = answer["tier"] == "full" and answer["receipt_id"] is not None
        self.heard.times.append((began, time.monotonic(), whole))
        if reply.headers.get("idempotent-replay"):
            self.heard.replayed.add(name)
        return connection, True


@contextmanager
def calling(port: int, lanes: int = 4, make: Make = mixed, prefix: str = "p", pause: float = 0.0) -> Iterator[Callers]:
    """Callers that send while the block runs."""
    callers = Callers(port, lanes, make, prefix, pause).begin()
    try:
        yield callers
    finally:
        callers.end()
