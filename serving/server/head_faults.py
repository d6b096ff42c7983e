"""Faults of a head that RFC 9112 requires a server to refuse and uvicorn's parser (llhttp) accepts.

llhttp itself refuses two lengths, a length with a transfer coding, bare CR or LF, folded lines, control characters and
whitespace before a colon. It does not check `Host`, repeated headers, the form of the target, transfer codings before
`chunked`, or a transfer coding in HTTP/1.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

#: Headers that may occur once (RFC 9110 §5.3): readers could disagree about which of two counts.
ONCE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"origin"})

_AUTHORITY = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
_HOST = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(rb"(?i:https?)://(" + _AUTHORITY + rb")(?=[/?]|\Z)")


class Fault(NamedTuple):
    """Why a request is refused, as the fields of the error body."""

    status: int
    code: str
    message: str
    repair: str


def authority_of(target: bytes) -> bytes | None:
    """The host in a target in absolute form, None for other forms.

    >>> authority_of(b"http://risk:3000/livez"), authority_of(b"/livez")
    (b'risk:3000', None)
    """
    found = _ABSOLUTE.match(target)
    return None if found is None else found[1]


def fault_in(method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> Fault | None:
    """The first fault of a head that llhttp accepted; names of headers in lower case, values without outer blanks."""
    if version not in ("1.0", "1.1"):
        return Fault(505, "unsupported_version", f"This server does not speak HTTP/{version}.", "Send HTTP/1.1.")
    if method == b"CONNECT":
        return Fault(501, "not_implemented", "This server is no proxy.", "Leave out CONNECT.")
    if not _is_target(method, target):
        return _malformed("The request's target is no path and no http(s) address.", "Send a path such as /v1/score.")
    values: dict[bytes, bytes] = {}
    coding: bytes | None = None
    for name, value in headers:
        if name in ONCE:
            if name in values:
                return _malformed(f"The header `{name.decode()}` stands twice.", "Send it once.")
            values[name] = value
        elif name == b"transfer-encoding":
            coding = value.lower() if coding is None else coding + b"," + value.lower()
    host = values.get(b"host")
    if host is None and version == "1.1":
        return _malformed("The header `host` is missing.", "Send `Host:` with the name of this server.")
    if host and not _HOST.fullmatch(host):
        return _malformed("The header `host` names no host.", "Send `Host: name` or `Host: name:port`.")
    if coding is not None and version == "1.0":
        return _malformed("HTTP/1.0 has no transfer codings.", "Send HTTP/1.1, or `Content-Length`.")
    if coding is not None and coding != b"chunked":
        return Fault(501, "not_implemented", "Of transfer codings only `chunked` is read.", "Send the body as it is.")
    return None


def _is_target(method: bytes, target: bytes) -> bool:
    if target == b"*":
        return method == b"OPTIONS"
    return b"#" not in target and (target.startswith(b"/") or authority_of(target) is not None)


def _malformed(message: str, repair: str) -> Fault:
    return Fault(400, "malformed", message, repair)
