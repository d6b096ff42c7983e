"""Reads the body of a request: bounded, out of its content coding, as UTF-8 without a byte order mark."""

from __future__ import annotations

import asyncio
import zlib

from features.errors import Malformed
from serving.api.asgi import Receive
from serving.errors import TooLarge, UnreadCoding

#: Codings that mean the same (RFC 9110 §8.4.1.3).
_GZIP = ("gzip", "x-gzip")
#: zlib's argument for a gzip member with its header and check sum.
_GZIP_MEMBER = 16 + zlib.MAX_WBITS
#: Compressed bytes at a time: what follows the end of a member is copied, and there may be many members.
_PIECE_BYTES = 1 << 16
#: More members are no ordinary body (bgzip makes 64 of 4 MiB), and beginning one costs more than inflating its bytes.
MOST_MEMBERS = 256
#: A larger body is inflated in a thread: 4 MiB take about 10 ms, in which zlib does not hold the GIL.
_THREAD_FROM_BYTES = 1 << 14

_UTF8_MARK = b"\xef\xbb\xbf"
#: How a JSON text begins in these encodings (RFC 4627 §3), with a byte order mark and without one.
_OTHER_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"), (b"\x00\x00\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"),
    (b"{\x00\x00\x00", "UTF-32"), (b"\x00\x00\x00{", "UTF-32"), (b"{\x00", "UTF-16"), (b"\x00{", "UTF-16"),
)  # fmt: skip


def plain_json(body: bytes) -> bytes:
    r"""The body without a byte order mark, which RFC 8259 §8.1 allows a reader to ignore.

    Raises: Malformed for UTF-16 and UTF-32.

    >>> plain_json(b"\xef\xbb\xbf{}")
    b'{}'
    """
    if body.startswith(_UTF8_MARK):
        return body[len(_UTF8_MARK) :]
    for start, name in _OTHER_ENCODINGS:
        if body.startswith(start):
            raise Malformed(f"The body is encoded in {name}.", "Send JSON in UTF-8 (RFC 8259 §8.1).")
    return body


async def read_body(receive: Receive, declared: bytes | None, limit_bytes: int, coding: bytes = b"") -> bytes:
    """The body of a request in UTF-8; `declared` is its `Content-Length`, `coding` its `Content-Encoding`.

    The limit holds for the bytes as sent and for what they inflate to; no more than it is ever inflated.
    Raises: TooLarge beyond the limit (before reading if the declared length says so); UnreadCoding for any coding but
    gzip; Malformed if the caller left, for broken gzip and for another encoding than UTF-8.
    """
    is_gzip = _is_gzip(coding) if coding else False
    body = await _received(receive, declared, limit_bytes)
    if is_gzip:
        if len(body) > _THREAD_FROM_BYTES:
            body = await asyncio.to_thread(inflated, body, limit_bytes)
        else:
            body = inflated(body, limit_bytes)
    return plain_json(body)


def _is_gzip(coding: bytes) -> bool:
    """Whether a body is compressed with gzip, by its `Content-Encoding`.

    Raises: UnreadCoding.
    """
    words = [word.strip().lower() for word in coding.decode("latin-1").split(",")]
    codings = [word for word in words if word not in ("", "identity")]
    if not codings:
        return False
    if len(codings) > 1:
        raise UnreadCoding("The body has more than one content coding.", "Send gzip alone, or the body as it is.")
    if codings[0] not in _GZIP:  # the reply does not echo it: a header may hold anything
        raise UnreadCoding("Of content codings only gzip is read.", "Send the body with gzip, or as it is.")
    return True


def inflated(body: bytes, limit_bytes: int) -> bytes:
    """What a gzip file of one or more members (RFC 1952 §2.2) holds; stops at the first byte beyond the limit.

    Raises: TooLarge, Malformed.
    """
    parts: list[bytes] = []
    left, at, members = limit_bytes + 1, 0, 1
    member = zlib.decompressobj(_GZIP_MEMBER)
    while at < len(body):
        piece = body[at : at + _PIECE_BYTES]
        at += len(piece)
        while piece:
            if member.eof:
                members += 1
                if members > MOST_MEMBERS:
                    raise _broken(f"it has more than {MOST_MEMBERS} members")
                member = zlib.decompressobj(_GZIP_MEMBER)
            try:
                part = member.decompress(piece, left)
            except zlib.error:
                raise _broken("its bytes are damaged") from None
            parts.append(part)
            left -= len(part)
            if left <= 0:
                raise too_large(limit_bytes)
            piece = member.unconsumed_tail or member.unused_data
    if not member.eof:
        raise _broken("its end is missing")
    return b"".join(parts)


def _broken(why: str) -> Malformed:
    return Malformed(f"The body is not valid gzip: {why}.", "Send one gzip file (RFC 1952), or the body as it is.")


async def _received(receive: Receive, declared: bytes | None, limit_bytes: int) -> bytes:
    # int() refuses numbers of 5,000 digits, so compare the number of digits first.
    if declared is not None and declared.isdigit():
        digits = declared.lstrip(b"0")
        if len(digits) > len(str(limit_bytes)) or int(digits or b"0") > limit_bytes:
            raise too_large(limit_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _left()
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
            raise _left()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit_bytes:
            raise too_large(limit_bytes)
    return b"".join(parts)


def _left() -> Malformed:
    return Malformed("The connection was closed before the body was complete.", "Send the request again.")


def too_large(limit_bytes: int) -> TooLarge:
    """The refusal of a body beyond the limit."""
    return TooLarge(
        f"The body is larger than {limit_bytes} bytes.", "Send a smaller body; attributes carry values, not files."
    )
