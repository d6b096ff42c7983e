"""An empty endpoint of BentoML, mounted and tuned: the ceiling of what any service on it can reach."""

from __future__ import annotations

import gc
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import bentoml

Message = MutableMapping[str, Any]

ANSWER = json.dumps(
    {"transaction_id": "t", "decision": "approve", "score": 0.01, "reasons": [], "rules": [], "tier": "full",
     "missing": [], "model": "none@0", "policy": "0" * 12, "features": "0" * 12, "receipt_id": "0" * 26}
).encode()  # fmt: skip
HEAD: list[tuple[bytes, bytes]] = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(ANSWER)).encode()),
]


async def answer(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Read the whole body, then reply with a constant as long as a real decision."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    await send({"type": "http.response.body", "body": ANSWER})


@bentoml.service(
    workers=1,
    traffic={"timeout": 1},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ["/v1/score"]},
)
@bentoml.asgi_app(answer, path="/v1")
class Empty:
    """Nothing but the mounted route."""

    @bentoml.on_startup
    def trim(self) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 1_000)
