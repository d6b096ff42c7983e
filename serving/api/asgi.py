"""Reads requests and sends replies on bare ASGI; the hot path uses no framework."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec

from features.errors import Malformed, RiskgateError
from serving.errors import LedgerError, LedgerUnavailable, TooLarge, WrongMethod
from serving.messages import refusal, retry_after_seconds, unexpected
from serving.server.headers import ALWAYS, PAGE, Header, date_line

log = logging.getLogger("riskgate.http")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: The key of the ASGI scope under which the admission queue puts how a payment was admitted.
ADMITTED = "riskgate.admitted"
#: A longer body is sent in slices, so that a slow reader does not make the server hold all of it.
SLICE_BYTES = 1 << 16
JSON = (b"content-type", b"application/json")
REPLAYED = (JSON, (b"idempotent-replay", b"true"))
_encoder = msgspec.json.Encoder()


class Reply(msgspec.Struct, frozen=True):
    """An HTTP reply: status, body and headers other than the length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)


def json_reply(body: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (JSON,)) -> Reply:
    """A reply with a JSON body."""
    return Reply(status, _encoder.encode(body), headers)


def html_reply(page: str) -> Reply:
    """A reply with a page that loads nothing from elsewhere."""
    return Reply(200, page.encode(), ((b"content-type", b"text/html; charset=utf-8"), *PAGE))


def error_reply(error: Exception) -> Reply:
    """The reply to any error; the one place where an unknown error becomes a reply."""
    if isinstance(error, RiskgateError):
        return refusal_reply(error)
    if isinstance(error, LedgerError):
        log.error("the ledger did not answer: %s", error)
        return refusal_reply(
            LedgerUnavailable("The ledger cannot be used just now.", "Send the same again in a moment.")
        )
    status, body = unexpected(error)
    return json_reply(body, status)


def refusal_reply(error: RiskgateError) -> Reply:
    """The reply to a refusal, with the headers that its status requires."""
    status, body = refusal(error)
    headers: list[tuple[bytes, bytes]] = [JSON]
    seconds = retry_after_seconds(error)
    if seconds is not None:
        headers.append((b"retry-after", str(seconds).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    elif isinstance(error, WrongMethod):
        headers.append((b"allow", b"GET, HEAD" if error.allowed == "GET" else error.allowed.encode()))
    elif status == 408:  # the rest of the body may still come and must not be read as the next request
        headers.append((b"connection", b"close"))
    return json_reply(body, status, tuple(headers))


async def read_body(receive: Receive, declared: bytes | None, limit_bytes: int) -> bytes:
    """The body of a request.

    Raises: TooLarge beyond the limit (before reading if the declared length says so), Malformed if the caller left.
    """
    # int() refuses numbers of 5,000 digits, so compare the number of digits first.
    if declared is not None and declared.isdigit():
        digits = declared.lstrip(b"0")
        if len(digits) > len(str(limit_bytes)) or int(digits or b"0") > limit_bytes:
            raise too_large(limit_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Malformed("The connection was closed before the body was complete.", "Send the request again.")
    if not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
        return body
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("The connection was closed before the body was complete.", "Send the request again.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit_bytes:
            raise too_large(limit_bytes)
    return b"".join(parts)


def too_large(limit_bytes: int) -> TooLarge:
    """The refusal of a body beyond the limit."""
    return TooLarge(
        f"The body is larger than {limit_bytes} bytes.", "Send a smaller body; attributes carry values, not files."
    )


def closing(reply: Reply) -> Reply:
    """The same reply with `Connection: close`."""
    return Reply(reply.status, reply.body, (*reply.headers, (b"connection", b"close")))


def raw_reply(reply: Reply, always: tuple[Header, ...] = ALWAYS) -> bytes:
    """A whole reply as the bytes of HTTP/1.1, for the fast path."""
    # Date may be absent from a 5xx reply only: that of overload is made once and sent often.
    date = b"" if reply.status >= 500 else date_line()
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (raw_head(reply, always), date, len(reply.body), reply.body)


def raw_head(reply: Reply, always: tuple[Header, ...] = ALWAYS) -> bytes:
    """Status line and headers of a reply, without date and length."""
    status = HTTPStatus(reply.status)
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())]
    lines += [b"%b: %b\r\n" % header for header in (*reply.headers, *always)]
    return b"".join(lines)


async def send_reply(send: Send, reply: Reply, always: tuple[Header, ...] = ALWAYS) -> None:
    """Send a whole reply; `always` are the headers of every reply."""
    length = (b"content-length", str(len(reply.body)).encode())
    await send({"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, *always, length]})
    last = max(0, len(reply.body) - 1) // SLICE_BYTES * SLICE_BYTES
    for first in range(0, last, SLICE_BYTES):
        part = reply.body[first : first + SLICE_BYTES]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": reply.body[last:]})
