"""The entity of an IP address: an IPv6 address counts as its /64, which is what one subscriber gets (RFC 6177)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Network, ip_address

_PREFIX = 64


@lru_cache(maxsize=1 << 16)
def _network(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return text
    return str(IPv6Network((int(address) >> _PREFIX << _PREFIX, _PREFIX)))


def window_address(text: str) -> str:
    """The key of an address's windows: an IPv4 address or a pseudonym itself, an IPv6 address's /64.

    >>> window_address("203.0.113.9"), window_address("2001:db8::1:2")
    ('203.0.113.9', '2001:db8::/64')
    """
    return _network(text) if ":" in text else text
