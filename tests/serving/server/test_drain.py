"""Draining stands before the server's own signal handlers and calls them when it is over."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from serving.server.drain import QUIET_SECONDS, Drain

FOR_EVER = 3_600.0


class Callers:
    """A service whose callers leave when they are sent away, or do not."""

    def __init__(self) -> None:
        self.requests = 0
        self.left = False

    def drain(self) -> None:
        self.left = True


class Clock:
    """Seconds that a test sets; counts how often the drain looks at it."""

    def __init__(self) -> None:
        self.seconds, self.looks = 100.0, 0

    def __call__(self) -> float:
        self.looks += 1
        return self.seconds

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, and the drain notice it."""
        self.seconds += seconds
        last = self.looks + 2
        async with asyncio.timeout(5):
            while self.looks < last:
                await asyncio.sleep(0.005)


class Server:
    """Signal handlers as uvicorn sets them, before the service starts."""

    def __init__(self) -> None:
        self.stopped: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: self.stopped.append(number))

    async def until_stopped(self, most_turns: int = 2_000) -> None:
        for _ in range(most_turns):
            if self.stopped:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("the server was not stopped")


@pytest.fixture
def server() -> Iterator[Server]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield Server()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_first_signal_sends_callers_away_and_the_server_stops_when_they_have_left(server: Server) -> None:
    async def run() -> None:
        callers = Callers()
        closed: list[bool] = []
        drain = Drain(callers, 0.0, FOR_EVER)
        drain.before_end.append(lambda: closed.append(not server.stopped))
        drain.install()
        signal.raise_signal(signal.SIGTERM)
        assert server.stopped == []
        await server.until_stopped()
        assert (callers.left, closed, server.stopped) == (True, [True], [signal.SIGTERM])

    asyncio.run(run())


def test_callers_who_go_on_asking_are_answered_until_the_longest_time_is_over(server: Server) -> None:
    async def run() -> None:
        callers, clock = Callers(), Clock()
        drain = Drain(callers, 0.0, 30.0, clock=clock)
        drain.install()
        signal.raise_signal(signal.SIGTERM)
        await clock.pass_by(0.0)
        for _ in range(4):
            callers.requests += 1
            await clock.pass_by(7.0)
        assert server.stopped == []
        clock.seconds += 2.0
        callers.requests += 1
        await server.until_stopped()

    asyncio.run(run())


def test_the_port_closes_once_callers_are_quiet_and_not_before(server: Server) -> None:
    async def run() -> None:
        callers, clock = Callers(), Clock()
        Drain(callers, 0.0, FOR_EVER, clock=clock).install()
        signal.raise_signal(signal.SIGTERM)
        await clock.pass_by(QUIET_SECONDS / 2)
        callers.requests += 1
        await clock.pass_by(QUIET_SECONDS / 2)
        await clock.pass_by(QUIET_SECONDS / 2)
        assert server.stopped == [], "the quiet counts from the last request"
        clock.seconds += QUIET_SECONDS / 2
        await server.until_stopped()

    asyncio.run(run())


def test_the_minimum_holds_for_a_balancer_and_not_for_ctrl_c(server: Server) -> None:
    async def run() -> None:
        Drain(Callers(), FOR_EVER, FOR_EVER).install()
        signal.raise_signal(signal.SIGINT)
        await server.until_stopped()
        assert server.stopped == [signal.SIGINT]

    asyncio.run(run())


def test_a_second_signal_ends_it(server: Server) -> None:
    async def run() -> None:
        clock = Clock()
        Drain(Callers(), FOR_EVER, FOR_EVER, clock=clock).install()
        signal.raise_signal(signal.SIGTERM)
        await clock.pass_by(0.0)
        await clock.pass_by(FOR_EVER - 1.0)  # quiet, but the minimum is not over
        assert server.stopped == []
        signal.raise_signal(signal.SIGTERM)
        assert server.stopped == [signal.SIGTERM]

    asyncio.run(run())


def test_the_minimum_is_never_longer_than_the_longest(server: Server) -> None:
    async def run() -> None:
        drain = Drain(Callers(), 10.0, 0.0)
        assert drain.min_seconds == 0.0
        drain.install()
        signal.raise_signal(signal.SIGTERM)
        await server.until_stopped()

    asyncio.run(run())
