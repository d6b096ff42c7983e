"""A service in a process of its own: started, awaited, stopped."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from features.errors import RiskgateError
from training.settings import environment_of_child

HOST = "127.0.0.1"
STARTS_WITHIN_S = 120.0
STOPS_WITHIN_S = 30.0
#: Below those that a kernel gives to outgoing connections, which could take a port before its listener does.
_PORTS = range(20_000, 30_000)


class ServiceTrouble(RiskgateError):
    """The service did not start, stopped, or answered what it should not."""


def free_port() -> int:
    """A port that is free just now."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free just now."""
    while True:
        first = random.choice(_PORTS)
        with suppress(ServiceTrouble):
            refuse_busy_ports({str(port): port for port in range(first, first + count)})
            return first


def refuse_busy_ports(ports: dict[str, int]) -> None:
    """Say which of the ports (by what they are for) are in use, before anything is started.

    Raises:
        ServiceTrouble: some are.
    """
    busy = []
    for purpose, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                busy.append(f"{port} ({purpose})")
    if busy:
        raise ServiceTrouble(
            f"In use already: port {' and port '.join(busy)}.",
            "Stop what listens there, or choose others: make demo PORT=3100 CONSOLE_PORT=3101.",
        )


def serving(arguments: list[str], log: Path, **overrides: str) -> None:
    """Run `python -m serving ...` to its end, with its output in `log`.

    Raises:
        ServiceTrouble: it ended with another code than 0.
    """
    with log.open("ab") as out:
        done = subprocess.run(
            [sys.executable, "-m", "serving", *arguments], env=environment_of_child(**overrides),
            stdout=out, stderr=out, check=False,
        )  # fmt: skip
    if done.returncode:
        raise ServiceTrouble(
            f"`python -m serving {' '.join(arguments)}` ended with code {done.returncode}: {_last_words(log)}",
            f"The whole of what it said is in {log}.",
        )


@contextmanager
def running(
    arguments: list[str], port: int | tuple[int, ...], ready: str, log: Path, **overrides: str
) -> Iterator[None]:
    """A process `python -m serving ...` while the block runs, from when GET `ready` answers well (on every port).

    Raises:
        ServiceTrouble: it ended, or was not ready in time.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", *arguments], env=environment_of_child(**overrides), stdout=out, stderr=out
        )
    try:
        for one in (port,) if isinstance(port, int) else port:
            _wait_until_ready(process, one, ready, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, ready: str, log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    with httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False) as client:  # never through a proxy
        while time.monotonic() < until:
            if process.poll() is not None:
                raise ServiceTrouble(f"The service did not start: {_last_words(log)}", f"See {log}.")
            with suppress(httpx.TransportError):
                if client.get(ready).status_code < 400:  # a page may ask to sign in first
                    return
            time.sleep(0.2)
    raise ServiceTrouble(f"The service was not ready within {STARTS_WITHIN_S:.0f} s.", f"See {log}.")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " ".join(lines[-3:]) or "it said nothing."
