"""Requests that a service without keys refuses: those that a foreign web page makes a local browser send.

Such a service listens on loopback only, which a browser on the same machine reaches for every page it shows. A page can
read the replies if its own name resolves to 127.0.0.1 (DNS rebinding: `Host` names the page's host), and can send
without a preflight request what a form can send (`Origin` names the page, the body has a form's type).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from features.errors import RiskgateError
from serving.errors import ForeignCaller, UnreadType

#: Paths of probes: answered for any `Host`, for their replies hold no payment data.
PROBES = ("/livez", "/readyz")
_WITHOUT_BODY = ("GET", "HEAD")
_FORM = (b"application/x-www-form-urlencoded", b"multipart/form-data")
_ORIGIN = re.compile(rb"https?://([^/?#@]+)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")

_ADDRESS = "Call it by a loopback address such as http://127.0.0.1:3000, or give the service a key: RISKGATE_API_KEY."
_JSON = "Send JSON with `content-type: application/json`."


def refusal_of(method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> RiskgateError | None:
    """The error with which a service without keys refuses a request, or None; names of headers in lower case.

    >>> refusal_of("GET", "/docs", [(b"host", b"attacker.example:3000")]).status
    403
    >>> refusal_of("GET", "/docs", [(b"host", b"localhost:3000")])
    """
    if path in PROBES and method in _WITHOUT_BODY:
        return None
    for name, value in headers:
        if name == b"host":
            if value.strip() and not is_loopback(value):
                return ForeignCaller("This service has no keys and answers only calls to a loopback address.", _ADDRESS)
        elif name == b"origin":
            origin = _ORIGIN.fullmatch(value.strip())
            if origin is None or not is_loopback(origin[1]):
                return ForeignCaller("This service has no keys and answers no page of another origin.", _ADDRESS)
        elif name == b"content-type" and method not in _WITHOUT_BODY:
            kind = value.partition(b";")[0].strip().lower()
            if kind in _FORM or kind.startswith(b"text/"):
                return UnreadType("The body has the type of a form or a text, which is not read here.", _JSON)
    return None


@lru_cache(maxsize=64)  # called for every payment on the fast path, with few different values
def is_loopback(authority: bytes) -> bool:
    """Whether a host, with or without a port, is a loopback address or `localhost`.

    >>> is_loopback(b"127.0.0.1:3000"), is_loopback(b"[::1]:3000"), is_loopback(b"LOCALHOST"), is_loopback(b"0.0.0.0")
    (True, True, True, False)
    """
    found = _AUTHORITY.fullmatch(authority.decode("latin-1").strip())
    if found is None:
        return False
    bracketed, plain = found[1], found[2]
    if plain is not None and plain.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ip_address(plain if bracketed is None else bracketed)
    except ValueError:
        return False
    return address.is_loopback and (bracketed is not None) == isinstance(address, IPv6Address)
