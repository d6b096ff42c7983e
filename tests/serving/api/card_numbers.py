"""Clear card numbers sent in every place a request has, and looked for in everything that is kept."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from features.domain.payment_fields import EXAMPLE
from tests.serving.scoring_world import START_MS, Service, payment, rfc3339

#: Test numbers of four networks, 15 and 16 digits; and ways to write one.
CARDS = ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117")
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


def spellings(card: str) -> list[str]:
    """A number as people and programs write it."""
    spaced = " ".join(card[at : at + 4] for at in range(0, len(card), 4))
    beside = f"2 x {card} 12 27"
    return [card, spaced, spaced.replace(" ", "-"), f"card {card}, thanks", beside, card.translate(FULL_WIDTH)]


def bodies(card: str, number: int) -> Iterator[tuple[str, Any]]:
    """(path, JSON) with the number in every string, every key, and as a number."""
    for place, text in enumerate(spellings(card)):
        for field, value in EXAMPLE.items():
            if isinstance(value, str):
                yield "/v1/score", payment(f"card-{number}-{place}-{field}") | {field: text}
        yield "/v1/score", payment(f"card-{number}-{place}-key", **{text: 1})
        yield "/v1/score", payment(f"card-{number}-{place}-a", attributes={"sign_in": text})
        yield "/v1/score", payment(f"card-{number}-{place}-b", attributes={text: 1})
        yield "/v1/score", payment(f"card-{number}-{place}-n", attributes={"basket_items": int(card)})
        yield "/v1/score", payment(f"card-{number}-{place}-m", amount_minor=int(card))
        yield "/v1/score", {"deep": [{"deeper": [text]}]}
        yield "/v1/score/batch", {"payments": [payment(text), payment("card-ok", payee_id=text), {text: text}, text]}
        yield "/v1/score/batch", {"payments": text}
        moment = rfc3339(START_MS)
        outcome = {"transaction_id": "card-known", "outcome": "settled", "event_time": moment}
        label = {"transaction_id": "card-known", "label": "fraud", "source": "chargeback", "reported_at": moment}
        for path, report in (("/v1/outcomes", outcome), ("/v1/labels", label)):
            for field in report:
                yield path, {**report, field: text}
            yield path, {**report, text: 1}


def send_everywhere(service: Service) -> Iterator[bytes]:
    """Send the numbers in every string of every route; what came back each time."""
    client = service.client
    good = json.dumps(payment("card-known"))
    yield client.post("/v1/score", content=good).content
    for number, card in enumerate(CARDS):
        for path, body in bodies(card, number):
            yield client.post(path, content=json.dumps(body, ensure_ascii=number % 2 == 0)).content
        for text in spellings(card):
            yield from _in_paths_and_headers(client, good, text)
        for raw in (
            f'{{"payer_id": "{card}"', f'{{"payer_id": {card}}}', f'"{card}"', card,
            f'{{"a": "\\u003{card[0]}{card[1:]}"}}', f'{{"payer_id": "a", "payer_id": "{card}"}}',
            json.dumps({"a": card + "x" * 70_000}),
        ):  # fmt: skip
            yield client.post("/v1/score", content=raw).content
            yield client.post("/v1/labels", content=raw).content
        yield from _without_http(service.port, card)


def _in_paths_and_headers(client: httpx.Client, good: str, text: str) -> Iterator[bytes]:
    word = quote(text)
    for path in (
        f"/v1/receipts/{word}",
        f"/v1/decisions/{word}",
        f"/{word}",
        f"/v1/{word}",
        f"/docs?{word}",
        f"/readyz?a={word}",
    ):
        yield client.get(path).content
    for query in (f"explain={word}", f"dry_run={word}", f"{word}=1", f"note={word}", word):
        yield client.post(f"/v1/score?{query}", content=good).content
    if text.isascii():
        names = (
            "user-agent",
            "referer",
            "cookie",
            "x-request-id",
            "forwarded",
            "content-type",
            "accept",
            "authorization",
        )
        for name in names:
            yield client.post("/v1/score", content=good, headers={name: text}).content
        for name in ("authorization", "content-type"):
            yield client.post("/v1/score", content=good, headers={name: f"Bearer rg_{text}_{text}"}).content
        if text.isdigit():
            yield client.get("/livez", headers={f"x-{text}": text}).content
            yield client.request(f"M{text}", "/livez").content
    yield client.post("/v1/score", content=good.encode(), headers={"idempotency-key": quote(text)}).content


def _without_http(port: int, card: str) -> Iterator[bytes]:
    """Noise, a slow body and a connection that breaks off, each with a number."""
    head = f"POST /v1/score?{card} HTTP/1.1\r\nhost: {card}\r\ncontent-length: 500\r\n\r\n"
    for noise in (f"{card}\r\n\r\n", f"GET /{card} HTTP/9.{card}\r\n\r\n", f'{head}{{"payer_id": "{card}"'):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(noise.encode())
            raw.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                yield raw.recv(65_536)


def found_in(content: bytes) -> list[str]:
    """Which of the numbers stand in some bytes, in whichever spelling."""
    plain = content.replace(b" ", b"").replace(b"-", b"").replace(b"%20", b"")
    return [card for card in CARDS if card.encode() in plain or card.translate(FULL_WIDTH).encode() in plain]


def files_with_numbers(folder: Path) -> list[str]:
    """The files below a folder that hold one: logs, ledger with its write-ahead log, snapshots, index."""
    return [
        f"{path.name}: {found}"
        for path in folder.rglob("*")
        if path.is_file() and (found := found_in(path.read_bytes()))
    ]
