"""The id and the trace of the request that is being answered; log lines and receipts take them from `CURRENT`.

A task inherits them from the task or callback that made it (contextvars), so no call between passes them on.
"""

from __future__ import annotations

import re
from contextvars import ContextVar

import msgspec
from ulid_transform import ulid_now

from features.intake.card_numbers import holds_card_number, may_hold_card_number
from serving.tracing.trace_context import Trace, trace_of

#: What most callers send, UUIDs with and without hyphens, is never taken for a card number.
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}")
#: A caller's id of a request that is echoed: 1 to 128 visible ASCII characters.
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestTrace(msgspec.Struct, frozen=True, gc=False):
    """One request: its id, which stands in its reply, and its trace if the caller sent one."""

    request_id: str
    trace: Trace | None

    @property
    def trace_id(self) -> str | None:
        """The caller's trace id, 32 hexadecimal digits."""
        return None if self.trace is None else self.trace.trace_id

    def lines(self) -> bytes:
        """The header lines of the reply, each with its line end."""
        line = b"x-request-id: %b\r\n" % self.request_id.encode()
        return line if self.trace is None else line + self.trace.line()

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of the reply."""
        headers = ((b"x-request-id", self.request_id.encode()),)
        return headers if self.trace is None else (*headers, (b"traceparent", self.trace.value()))

    def fields(self) -> dict[str, str]:
        """The fields of a log line."""
        if self.trace is None:
            return {"request_id": self.request_id}
        return {"request_id": self.request_id, "trace_id": self.trace.trace_id, "span_id": self.trace.span_id}


#: The request that is being answered; None between requests and in background work.
CURRENT: ContextVar[RequestTrace | None] = ContextVar("riskgate_request", default=None)


def request_trace(request_id: bytes | None, traceparent: bytes | None) -> RequestTrace:
    """The id and the trace of a request with these headers (None: not sent, or sent more than once).

    A caller's id is kept if it is 1 to 128 visible ASCII characters without a card number; else a new ULID is made.

    >>> request_trace(b"order-81f3", None).request_id, len(request_trace(b"4111 1111 1111 1111", None).request_id)
    ('order-81f3', 26)
    """
    if request_id is None and traceparent is None:
        return RequestTrace(ulid_now(), None)
    return RequestTrace(_echoed(request_id) or ulid_now(), trace_of(traceparent))


def _echoed(request_id: bytes | None) -> str | None:
    if request_id is None:
        return None
    if _UUID.fullmatch(request_id) is not None:
        return request_id.decode()
    request_id = request_id.strip(b" \t")
    if _REQUEST_ID.fullmatch(request_id) is None:
        return None
    text = request_id.decode()
    return None if may_hold_card_number(request_id) and holds_card_number(text) else text


def trace_of_headers(headers: list[tuple[bytes, bytes]]) -> RequestTrace:
    """The id and the trace of a request; names of headers in lower case.

    A header that is sent more than once counts as not sent: nothing says which of them is meant.
    """
    request_id = traceparent = None
    for name, value in headers:
        if name == b"x-request-id":
            request_id = value if request_id is None else b""
        elif name == b"traceparent":
            traceparent = value if traceparent is None else b""
    return request_trace(request_id, traceparent)
