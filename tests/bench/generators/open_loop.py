"""An open-loop HTTP load generator: requests leave on a fixed schedule, whatever the server does.

Latency is counted from the moment a request was due, so waiting that a slow server causes cannot hide
(Tene's "coordinated omission"). A process of its own:
`python -m tests.bench.generators.open_loop --port 3000 --bodies FILE --rate 2000 --seconds 10 [--seen seen.npz]`;
the file holds one JSON object a line, each sent once.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import typer

from tests.bench.generators.load import HOST, reply_length

#: What a reply may say of its tier, by place; 0 stands for a reply that names none.
TIERS = ("", "full", "stale", "rules_only", "default")
_TIER_MARK = b'"tier":"'
_FIRST_LETTERS = {name[0].encode(): place for place, name in enumerate(TIERS) if name}
#: How long the generator waits at most before it looks at the clock again.
LONGEST_NAP_SECONDS = 0.0005
#: How long replies are awaited after the last request was due; what comes later counts as lost.
PATIENCE_SECONDS = 10.0
NEVER = -1


@dataclass(frozen=True)
class Seen:
    """What became of every request, in the order of the schedule; times in ns from the start, -1: never."""

    due_ns: np.ndarray
    sent_ns: np.ndarray
    replied_ns: np.ndarray
    status: np.ndarray
    tier: np.ndarray
    """Place in TIERS."""
    lost_connections: int
    example: str
    """The first reply that was neither 200 nor 503."""

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed numpy archive."""
        np.savez_compressed(
            path, due_ns=self.due_ns, sent_ns=self.sent_ns, replied_ns=self.replied_ns, status=self.status,
            tier=self.tier,
        )  # fmt: skip


@dataclass(frozen=True)
class Open:
    """The figures of one run; latencies in milliseconds from the moment a request was due."""

    offered: int
    offered_per_second: float
    answered: int
    refused: int
    failed: int
    """Neither 200 nor 503, or never answered."""
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    tiers: dict[str, int]
    generator_late_p99_ms: float
    """How late the generator itself was; large figures mean that the generator, not the server, was slow."""
    lost_connections: int
    example: str


class Line:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("received", "request", "socket")

    def __init__(self, port: int) -> None:
        self.socket = connected(port)
        self.request = NEVER
        self.received = bytearray()


def connected(port: int) -> socket.socket:
    """A non-blocking connection that sends at once."""
    opened = socket.create_connection((HOST, port), timeout=10)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setblocking(False)
    return opened


def open_loop(
    port: int, bodies: list[bytes], rate: float, connections: int = 256, path: str = "/v1/score", headers: bytes = b""
) -> Seen:
    """Send every body at its time on the schedule of `rate` a second; a request waits for a free connection if it must.

    `headers` are complete header lines, each ended by CR LF.
    """
    count = len(bodies)
    due = (np.arange(count) * (1e9 / rate)).astype(np.int64)
    sent, replied = np.full(count, NEVER, np.int64), np.full(count, NEVER, np.int64)
    status, tier = np.zeros(count, np.int16), np.zeros(count, np.int8)
    first = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n".encode() + headers
    heads = {n: b"%bContent-Length: %d\r\n\r\n" % (first, n) for n in {len(body) for body in bodies}}
    schedule, clock = due.tolist(), time.perf_counter_ns
    poller = select.epoll()
    lines = {}
    for _ in range(min(connections, count)):
        line = Line(port)
        lines[line.socket.fileno()] = line
        poller.register(line.socket.fileno(), select.EPOLLIN)
    free = deque(lines.values())
    following = answered = lost = 0
    example = ""
    start = clock() + 20_000_000
    end = start + schedule[-1] + int(PATIENCE_SECONDS * 1e9)
    while answered < count:
        now = clock() - start
        while following < count and schedule[following] <= now and free:
            line = free.popleft()
            body = bodies[following]
            line.request = following
            sent[following] = clock() - start
            following += 1
            try:
                line.socket.sendmsg((heads[len(body)], body))
            except OSError:  # the peer closed it: the poll below tells, and counts the request as lost
                continue
        if now + start > end:
            break
        wait = LONGEST_NAP_SECONDS
        if following < count and free:
            wait = min(wait, max(0.0, (schedule[following] - (clock() - start)) * 1e-9))
        # A poller counts in whole milliseconds; select on the poller itself is exact to microseconds.
        if not select.select((poller,), (), (), wait)[0]:
            continue
        for number, _ in poller.poll(0):
            line = lines[number]
            try:
                chunk = line.socket.recv(65_536)
            except BlockingIOError:
                continue
            except OSError:
                chunk = b""
            if not chunk:
                poller.unregister(number)
                line.socket.close()
                del lines[number]
                lost += 1
                if line.request == NEVER:
                    free.remove(line)
                else:
                    answered += 1  # never replied to: it stays at NEVER
                new = Line(port)
                lines[new.socket.fileno()] = new
                poller.register(new.socket.fileno(), select.EPOLLIN)
                free.append(new)
                continue
            line.received += chunk
            length = reply_length(line.received)
            if length is None or len(line.received) < length:
                continue
            request, received = line.request, line.received
            replied[request] = clock() - start
            code = int(received[9:12])
            status[request] = code
            at = received.find(_TIER_MARK)
            if at >= 0:
                tier[request] = _FIRST_LETTERS.get(bytes(received[at + 8 : at + 9]), 0)
            if code not in (200, 503) and not example:
                example = bytes(received).decode(errors="replace")
            line.request = NEVER
            line.received = bytearray()
            free.append(line)
            answered += 1
    for line in lines.values():
        line.socket.close()
    poller.close()
    return Seen(due, sent, replied, status, tier, lost, example)


def figures(seen: Seen) -> Open:
    """Counts and latencies of a run; the latencies are those of the answers with status 200."""
    offered = len(seen.due_ns)
    good = seen.status == 200
    refused = int((seen.status == 503).sum())
    latency = (seen.replied_ns - seen.due_ns)[good] / 1e6
    p50, p99, p999, worst = np.percentile(latency, [50, 99, 99.9, 100]).tolist() if good.any() else [float("nan")] * 4
    went = seen.sent_ns >= 0
    late = (seen.sent_ns - seen.due_ns)[went] / 1e6
    return Open(
        offered=offered,
        offered_per_second=(offered - 1) / (int(seen.due_ns[-1]) / 1e9) if offered > 1 else float(offered),
        answered=int(good.sum()),
        refused=refused,
        failed=offered - int(good.sum()) - refused,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=worst,
        tiers={name or "none": int((seen.tier[good] == place).sum()) for place, name in enumerate(TIERS)},
        generator_late_p99_ms=float(np.percentile(late, 99)) if went.any() else float("nan"),
        lost_connections=seen.lost_connections,
        example=seen.example,
    )


def main(
    port: int = typer.Option(..., help="port on this machine"),
    path: str = typer.Option("/v1/score"),
    bodies: Path = typer.Option(..., help="one JSON body a line"),
    rate: float = typer.Option(..., help="requests a second"),
    seconds: float = typer.Option(5.0, help="as long as there are bodies"),
    connections: int = typer.Option(256),
    seen: Path | None = typer.Option(None, help="where every single request is written (.npz)"),
) -> None:
    """Offer a fixed rate to one endpoint and write what was seen as JSON."""
    ready = bodies.read_bytes().splitlines()[: max(1, int(rate * seconds))]
    run = open_loop(port, ready, rate, connections, path)
    if seen is not None:
        run.save(seen)
    sys.stdout.write(json.dumps(asdict(figures(run))))


if __name__ == "__main__":
    typer.run(main)
