"""Callers that mix everything on kept-alive connections, and check that each reply belongs to its request.

Sound and unsound requests, alone and pipelined, in one piece and in several, some given up half-way. What is asked
for is drawn from a seed; each request has a transaction_id of its own.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.serving.scoring_world import START_MS, payment

KEY = "a-key-of-some-length"
HEAD = f"Host: risk\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"


class Ask(NamedTuple):
    """A request; `fits` says whether a reply (status, body) can be the one to it."""

    kind: str
    data: bytes
    fits: Callable[[int, bytes], bool]
    payments: tuple[str, ...] = ()
    ends: bool = False  # the service closes the connection after the reply
    bodiless: bool = False


def post(path: str, body: bytes, more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\n{HEAD}{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def fields(name: str, **changes: Any) -> bytes:
    return json.dumps(payment(name, START_MS, **changes)).encode()


def echoes(name: str) -> Callable[[int, bytes], bool]:
    return lambda status, body: status == 200 and json.loads(body)["transaction_id"] == name


def is_error(status: int, code: str) -> Callable[[int, bytes], bool]:
    return lambda got, body: got == status and json.loads(body)["error"]["code"] == code


def score(name: str, draw: random.Random) -> Ask:
    more = draw.choice(
        ["", "traceparent: 00-" + name + "\r\n", "Connection: keep-alive\r\n", "Expect: 100-continue\r\n"]
    )
    return Ask("score", post("/v1/score", fields(name), more), echoes(name), (name,))


def chunked(name: str, draw: random.Random) -> Ask:
    body, parts = fields(name), []
    while body:
        size = draw.randint(1, len(body))
        parts.append(b"%x\r\n%b\r\n" % (size, body[:size]))
        body = body[size:]
    head = f"POST /v1/score HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    return Ask("chunked", head + b"".join(parts) + b"0\r\n\r\n", echoes(name), (name,))


def batch(name: str, draw: random.Random) -> Ask:
    names = [f"{name}.{place}" for place in range(draw.randint(1, 4))]
    body = b'{"payments":[' + b",".join(fields(one) for one in names) + b"]}"

    def fits(status: int, reply: bytes) -> bool:
        return status == 200 and [one["transaction_id"] for one in json.loads(reply)["decisions"]] == names

    return Ask("batch", post("/v1/score/batch", body), fits, tuple(names))


def offer(name: str, draw: random.Random) -> Ask:
    more = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    return Ask("offer", post("/v1/score", fields(name), more), echoes(name), (name,))


def unread(name: str, draw: random.Random) -> Ask:
    """A body that is answered before it was read."""
    return Ask("unread", post("/nothing/" + name, b"x" * draw.randint(1, 90_000)), is_error(404, "unknown_route"))


def stranger(name: str, draw: random.Random) -> Ask:
    data = post("/v1/score", fields(name)).replace(KEY.encode(), b"another-key")
    return Ask("stranger", data, is_error(401, "unauthorised"))


def bad_json(name: str, draw: random.Random) -> Ask:
    return Ask("bad JSON", post("/v1/score", fields(name)[: draw.randint(1, 60)]), is_error(400, "malformed"))


def bad_core(name: str, draw: random.Random) -> Ask:
    return Ask("bad core", post("/v1/score", fields(name, rail="")), lambda status, _: status == 422)


def too_large(name: str, draw: random.Random) -> Ask:
    return Ask("too large", post("/v1/score", fields(name) + b" " * 70_000), is_error(413, "too_large"))


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\n{HEAD}\r\n".encode()


def no_receipt(name: str, draw: random.Random) -> Ask:
    return Ask("no receipt", get("/v1/receipts/" + name), is_error(404, "unknown_transaction"))


def wrong_method(name: str, draw: random.Random) -> Ask:
    return Ask("wrong method", get("/v1/score"), is_error(405, "wrong_method"))


def live(name: str, draw: random.Random) -> Ask:
    return Ask("live", get("/livez"), lambda status, body: (status, body) == (200, b'{"live":true}'))


def head_only(name: str, draw: random.Random) -> Ask:
    data = get("/livez").replace(b"GET", b"HEAD")
    return Ask("HEAD", data, lambda status, body: (status, body) == (200, b""), bodiless=True)


def large_head(name: str, draw: random.Random) -> Ask:
    data = post("/v1/score", fields(name), "X-A: " + "b" * draw.randint(17_000, 30_000) + "\r\n")
    return Ask("large head", data, is_error(431, "head_too_large"), ends=True)


def many_lines(name: str, draw: random.Random) -> Ask:
    return Ask(
        "many lines", post("/v1/score", fields(name), "X-A: b\r\n" * 65), is_error(431, "head_too_large"), ends=True
    )


def receipt_of(name: str) -> Ask:
    def fits(status: int, body: bytes) -> bool:
        return status == 200 and json.loads(body)["answer"]["transaction_id"] == name

    return Ask("receipt", get("/v1/receipts/" + name), fits)


#: What to ask for and how often.
KINDS: dict[Callable[[str, random.Random], Ask], int] = {
    score: 50, chunked: 6, batch: 4, offer: 2, unread: 3, stranger: 3, bad_json: 4, bad_core: 3, too_large: 1,
    no_receipt: 3, wrong_method: 2, live: 3, head_only: 3, large_head: 1, many_lines: 1,
}  # fmt: skip


def faulty(name: str, draw: random.Random) -> Ask:
    """What is not HTTP, or only up to its middle; sent without a proxy, which would refuse it itself."""
    chunk = f"POST /v1/score HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n2\n".encode()
    two = post("/v1/score", fields(name), "Content-Length: 3\r\n")
    data = draw.choice([b"hello\r\n\r\n", chunk, two, get("/livez").replace(b"Host: risk\r\n", b"")])
    return Ask("faulty", data, is_error(400, "malformed"), ends=True)


class Traffic:
    """So many requests over these ports; what was seen stands in the attributes."""

    def __init__(self, direct: int, proxied: tuple[int, ...], count: int, seed: int = 1, lanes: int = 8) -> None:
        self.direct, self.proxied, self.left, self.seed, self.lanes = direct, proxied, count, seed, lanes
        self.acknowledged: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        ports = (self.direct, *self.proxied)
        await asyncio.gather(*(self._lane(lane, ports[lane % len(ports)]) for lane in range(self.lanes)))

    async def _lane(self, lane: int, port: int) -> None:
        draw, place, known = random.Random(self.seed * 1_000 + lane), 0, list[str]()
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self.left > 0:
            burst = draw.choice([1, 1, 1, 1, draw.randint(2, 6)])
            asks = []
            for _ in range(burst):
                place += 1
                name = f"n-{lane}-{place}"
                if known and draw.random() < 0.05:
                    asks.append(receipt_of(draw.choice(known)))
                elif port == self.direct and draw.random() < 0.02:
                    asks.append(faulty(name, draw))
                else:
                    asks.append(draw.choices([*KINDS], [*KINDS.values()])[0](name, draw))
                if asks[-1].ends:
                    break
            if draw.random() < 0.05:
                self.left -= 1
                await self._body_timed_out(port, asks[0], draw)
                continue
            self.left -= len(asks)
            remaining = asks
            while remaining:
                if line is None:
                    line = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
                remaining, acquire_slot = await self._talk(*line, remaining, draw, may_end=port in self.proxied)
                if not acquire_slot or draw.random() < 0.02:
                    line[1].close()
                    line = None
            known += [name for ask in asks for name in ask.payments if name in self.acknowledged][:1]
        if line is not None:
            line[1].close()

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asks: list[Ask],
        draw: random.Random,
        may_end: bool,
    ) -> tuple[list[Ask], bool]:
        """Send all, then read all: (what is to be sent again, whether the connection can be used again).

        nginx closes a connection without notice when an answer came before the body was read (`may_end`).
        """
        data = b"".join(ask.data for ask in asks)
        writer.write(data[: (cut := draw.choice([len(data), draw.randint(1, len(data))]))])
        if cut < len(data):
            await asyncio.sleep(0)
            writer.write(data[cut:])
        kinds = [one.kind for one in asks]
        for place, ask in enumerate(asks):
            try:
                status, headers, body = await asyncio.wait_for(reply_from(reader, ask.bodiless), 60)
            except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
                cut_off = not isinstance(error, TimeoutError) and not getattr(error, "partial", b"")
                if cut_off and may_end:
                    self.asked["sent again"] += len(asks) - place
                    return asks[place:], False
                self.wrong.append(f"{ask.kind} of {kinds}: {error!r}")
                return [], False
            self.asked[ask.kind] += 1
            if not ask.fits(status, body):
                self.wrong.append(f"{ask.kind} {ask.payments} of {kinds}: {status} {body[:300]!r}")
                return [], False
            self.acknowledged.update(ask.payments)
            if headers.get("connection") == "close":
                if place < len(asks) - 1:
                    self.wrong.append(f"{ask.kind} of {kinds}: closed")
                return [], False
        return [], True

    async def _body_timed_out(self, port: int, ask: Ask, draw: random.Random) -> None:
        """Send a part of a request and leave, in order or with a reset."""
        self.asked["given up"] += 1
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = ask.data.index(b"\r\n\r\n")
        most = draw.choice([head, min(len(ask.data) - 1, head + 200)])
        writer.write(ask.data[: draw.randint(1, most)])
        await writer.drain()
        if draw.random() < 0.5:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()


async def reply_from(reader: asyncio.StreamReader, bodiless: bool) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of the next final reply."""
    status = 100
    while status < 200:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        status = int(lines[0].split()[1])
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return status, headers, b"" if bodiless else await reader.readexactly(int(headers["content-length"]))
