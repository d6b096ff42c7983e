"""A closed-loop HTTP load generator on bare sockets: light enough that only the server is measured.

A process of its own: `python -m tests.bench.generators.load --port 3000 --bodies FILE --seconds 5`; the file holds one
JSON object a line, each sent once. It stops after `--seconds`, or when the bodies are used up.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from array import array
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import typer

HOST = "127.0.0.1"  # a load generator that can only reach this machine


@dataclass(frozen=True)
class Load:
    """What one run of the generator saw; latencies in milliseconds."""

    requests: int
    seconds: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    errors: int
    marked: int
    used_up: bool
    example: str


@dataclass
class Connection:
    """One keep-alive connection with at most one request under way."""

    socket: socket.socket
    sent_ns: int = 0
    received: bytearray = field(default_factory=bytearray)


def requests_from(bodies: list[bytes], path: str) -> list[bytes]:
    """Complete HTTP requests, made before the clock starts."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: ".encode()
    return [b"%b%d\r\n\r\n%b" % (head, len(body), body) for body in bodies]


def reply_length(received: bytearray) -> int | None:
    """Bytes of the whole reply at the start of `received`, None while its head is incomplete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    at = head.find(b"content-length:")
    if at < 0:
        raise ValueError(f"a reply without a length: {head[:200]!r}")
    line_end = head.find(b"\r\n", at)
    return end + 4 + int(head[at + 15 : line_end if line_end >= 0 else len(head)])


def closed_loop(
    port: int, requests: list[bytes], connections: int, warm_seconds: float, seconds: float, mark: bytes
) -> Load:
    """Keep `connections` requests under way until `seconds` after the warm-up; each request is sent once."""
    selector = selectors.DefaultSelector()
    clock, latencies = time.perf_counter_ns, array("q")
    next_request, errors, marked, example = 0, 0, 0, ""
    start = clock() + int(warm_seconds * 1e9)
    end = start + int(seconds * 1e9)
    for _ in range(min(connections, len(requests))):
        opened = socket.create_connection((HOST, port), timeout=60)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(opened, sent_ns=clock())
        selector.register(opened, selectors.EVENT_READ, connection)
        opened.sendall(requests[next_request])
        next_request += 1
    last = start
    under_way = len(selector.get_map())
    while under_way:
        ready = selector.select(timeout=60)
        if not ready:
            raise TimeoutError(f"no reply within a minute on port {port}")
        for key, _ in ready:
            connection = key.data
            chunk = connection.socket.recv(65_536)
            if not chunk:
                raise ConnectionError(f"the server on port {port} closed a connection")
            connection.received += chunk
            length = reply_length(connection.received)
            if length is None or len(connection.received) < length:
                continue
            now = clock()
            if connection.sent_ns >= start and now <= end:
                latencies.append(now - connection.sent_ns)
                last = now
                if not connection.received.startswith(b"HTTP/1.1 200"):
                    errors += 1
                    example = example or bytes(connection.received[:length]).decode(errors="replace")
                elif mark and mark in connection.received:
                    marked += 1
            del connection.received[:length]
            if now < end and next_request < len(requests):
                connection.sent_ns = clock()
                connection.socket.sendall(requests[next_request])
                next_request += 1
            else:
                selector.unregister(connection.socket)
                connection.socket.close()
                under_way -= 1
    selector.close()
    used_up = next_request == len(requests) and last < end - 200_000_000
    return summary(np.frombuffer(latencies, dtype=np.int64), (last - start) / 1e9, errors, marked, used_up, example)


def summary(
    latencies_ns: np.ndarray,
    seconds: float,
    errors: int = 0,
    marked: int = 0,
    used_up: bool = False,
    example: str = "",
) -> Load:
    """The figures of one run from its latencies in nanoseconds."""
    if not len(latencies_ns):
        raise ValueError("no request was answered inside the measured time")
    p50, p99, p999, worst = (float(v) / 1e6 for v in np.percentile(latencies_ns, [50, 99, 99.9, 100]))
    return Load(
        len(latencies_ns),
        seconds,
        len(latencies_ns) / seconds,
        p50,
        p99,
        p999,
        worst,
        errors,
        marked,
        used_up,
        example,
    )


def main(
    port: int = typer.Option(..., help="port on this machine"),
    path: str = typer.Option("/v1/score"),
    bodies: Path = typer.Option(..., help="one JSON body a line"),
    connections: int = typer.Option(8),
    warm_seconds: float = typer.Option(2.0),
    seconds: float = typer.Option(5.0),
    mark: str = typer.Option("", help="count the replies that hold this text"),
) -> None:
    """Load one endpoint and write what was seen as JSON."""
    requests = requests_from(bodies.read_bytes().splitlines(), path)
    seen = closed_loop(port, requests, connections, warm_seconds, seconds, mark.encode())
    sys.stdout.write(json.dumps(asdict(seen)))


if __name__ == "__main__":
    typer.run(main)
