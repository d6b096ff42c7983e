"""The head of a plain payment, matched by one regular expression that lists everything allowed in it.

The fast path takes a request only if its head matches; every other head goes to uvicorn's parser. So the two cannot
disagree about where a body begins or whose credential it carries (request smuggling): whatever two parsers might read
differently is not matched. Grammar: RFC 9110 §5 (fields), RFC 9112 §3 and §5 (request line, field lines).
"""

from __future__ import annotations

import re

import msgspec

#: Longest head that can match.
MAX_HEAD_BYTES = 8_192
#: Most header lines.
MAX_LINES = 64

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_PORT = rb"(?::[0-9]{1,5})?"

# `(?(n)(?!))` fails if group n is set: the header stands for the second time. Every repeat is possessive or bounded by
# what cannot follow it, so a head that does not match costs time in proportion to its length.
_PLAIN = re.compile(
    rb"POST /v1/score HTTP/1\.1\r\n(?:(?:"
    rb"(?i:content-length):(?(1)(?!)) ?([0-9]{1,9})"
    rb"|(?i:host):(?(2)(?!)) ?([A-Za-z0-9\-._~!$&'()*+,;=%]++" + _PORT + rb"|\[[0-9A-Fa-f:.]++\]" + _PORT + rb")"
    rb"|(?i:authorization):(?(3)(?!)) ?([\x21-\x7e][\t\x20-\x7e]*+)"
    rb"|(?i:content-type):(?(4)(?!)) ?((?i:application/json)(?i:; ?charset=utf-8)?)"
    rb"|(?i:connection): ?(?i:keep-alive)"
    rb"|(?i:x-request-id):(?(5)(?!)) ?(" + _TEXT + rb"*+)"
    rb"|(?i:traceparent):(?(6)(?!)) ?(" + _TEXT + rb"*+)"
    # Any other line, such as headers of proxies, but none of those that change how a request is read.
    rb"|(?!(?i:content-(?:length|type|encoding)|host|authorization|connection|origin|expect|upgrade"
    rb"|t(?:ransfer-encoding|railer|e|raceparent)|x-request-id):)" + _TOKEN + rb"++:" + _TEXT + rb"*+"
    rb")\r\n){1,%d}\r\n" % MAX_LINES
)


class PlainHead(msgspec.Struct, frozen=True, gc=False):
    """What the fast path needs of a head; `body_at` is the offset of the body in the data.

    `request_id` and `traceparent` are as sent; serving/tracing/ says which of them count.
    """

    body_at: int
    content_length: int
    host: bytes
    authorization: bytes | None
    request_id: bytes | None = None
    traceparent: bytes | None = None


def read_head(data: bytes) -> PlainHead | None:
    r"""The head at the beginning of `data`, or None for a request that must go to uvicorn's parser.

    >>> head = b"POST /v1/score HTTP/1.1\r\nHost: risk:3000\r\nContent-Length: 2\r\n\r\n{}"
    >>> plain = read_head(head)
    >>> plain.body_at, plain.content_length, plain.host, plain.authorization
    (63, 2, b'risk:3000', None)
    >>> read_head(head.replace(b"Length: 2", b"Length: +2")) is None
    True
    """
    found = _PLAIN.match(data, 0, MAX_HEAD_BYTES)
    return None if found is None else _head_of(found)


def _head_of(found: re.Match[bytes]) -> PlainHead | None:
    length, host, authorization, request_id, traceparent = found.group(1, 2, 3, 5, 6)
    if length is None or host is None:
        return None
    if authorization is not None:
        authorization = authorization.rstrip(b" \t")
    return PlainHead(found.end(), int(length), host, authorization, request_id, traceparent)


class HeadReader:
    """Reads the heads of one connection: a client repeats its head, with another length, from payment to payment.

    A head that equals the last one but for the digits of its length needs two comparisons instead of a match.
    """

    __slots__ = ("_after", "_before", "_last")

    def __init__(self) -> None:
        self._before = self._after = b""
        self._last: PlainHead | None = None

    def read(self, data: bytes) -> PlainHead | None:
        """The same as `read_head`."""
        last = self._last
        if last is not None and data.startswith(self._before):
            at = len(self._before)
            end = data.find(b"\r", at, at + 10)
            digits = data[at:end]
            if digits.isdigit() and data.startswith(self._after, end):
                at = end + len(self._after)
                return PlainHead(at, int(digits), last.host, last.authorization, last.request_id, last.traceparent)
        found = _PLAIN.match(data, 0, MAX_HEAD_BYTES)
        if found is None or (head := _head_of(found)) is None:
            return None
        start, end = found.span(1)
        self._before, self._after, self._last = data[:start], data[end : head.body_at], head
        return head
