"""Headers that keep browsers and caches from doing harm, on every reply of the service."""

from __future__ import annotations

Header = tuple[bytes, bytes]

#: Answers are about people's payments: kept by no cache, guessed to be nothing else, told to no next page.
ALWAYS: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
#: Of a page: no script, nothing from elsewhere, framed by nobody.
PAGE: tuple[Header, ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
)


def security_headers(hsts_seconds: int) -> tuple[Header, ...]:
    """The headers of every reply; with `hsts_seconds`, browsers come back over TLS only.

    >>> len(security_headers(0)), security_headers(60)[-1]
    (3, (b'strict-transport-security', b'max-age=60; includeSubDomains'))
    """
    return (*ALWAYS, *([] if not hsts_seconds else [(b"strict-transport-security", hsts(hsts_seconds).encode())]))


def hsts(seconds: int) -> str:
    """The value of Strict-Transport-Security (RFC 6797)."""
    return f"max-age={seconds}; includeSubDomains"
