"""Makes replies and sends them, on bare ASGI or as bytes; the hot path uses no framework."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec

from features.errors import RiskgateError
from serving.errors import DamagedLedger, LedgerError, LedgerUnavailable, UnreadCoding, WrongMethod
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
    """An HTTP reply: status, body and headers other than the length.

    `timings_us` are the timings of the decision in it, for the header `Server-Timing`.
    """

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)
    timings_us: dict[str, int] | None = None


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
        if isinstance(error, DamagedLedger):
            return refusal_reply(
                LedgerUnavailable(error.message, "The operator repairs it: /readyz says where it is damaged, and how.")
            )
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
    elif isinstance(error, UnreadCoding):  # what is read instead (RFC 9110 §15.5.16)
        headers.append((b"accept-encoding", b"gzip"))
    elif status == 408:  # the rest of the body may still come and must not be read as the next request
        headers.append((b"connection", b"close"))
    return json_reply(body, status, tuple(headers))


def closing(reply: Reply) -> Reply:
    """The same reply with `Connection: close`."""
    return msgspec.structs.replace(reply, headers=(*reply.headers, (b"connection", b"close")))


def raw_reply(reply: Reply, always: tuple[Header, ...] = ALWAYS, lines: bytes = b"") -> bytes:
    """A whole reply as the bytes of HTTP/1.1, for the fast path; `lines` are those of the request's trace."""
    head = raw_head(reply, always)
    return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (head, date_line(), lines, len(reply.body), reply.body)


def raw_head(reply: Reply, always: tuple[Header, ...] = ALWAYS) -> bytes:
    """Status line and headers of a reply, without date, trace and length."""
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
