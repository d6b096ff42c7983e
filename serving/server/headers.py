"""Security headers for browsers and caches, on every reply of the service."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache

Header = tuple[bytes, bytes]

#: Replies hold payment data: no caching, no content sniffing, no referrer.
ALWAYS: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
#: For the page of the contract: files and calls of this service only, no inline script, no framing.
PAGE: tuple[Header, ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
)


def security_headers(hsts_seconds: int) -> tuple[Header, ...]:
    """The headers of every reply; with `hsts_seconds`, browsers must use TLS afterwards.

    >>> len(security_headers(0)), security_headers(60)[-1]
    (3, (b'strict-transport-security', b'max-age=60; includeSubDomains'))
    """
    return (*ALWAYS, *([] if not hsts_seconds else [(b"strict-transport-security", hsts(hsts_seconds).encode())]))


def date_line() -> bytes:
    """The header `date` with its line end, for replies that uvicorn does not write (RFC 9110 §6.6.1)."""
    return _date_line(int(time.time()))


@lru_cache(maxsize=1)
def _date_line(second: int) -> bytes:
    return b"date: %b\r\n" % formatdate(second, usegmt=True).encode()


def hsts(seconds: int) -> str:
    """The value of Strict-Transport-Security (RFC 6797)."""
    return f"max-age={seconds}; includeSubDomains"
