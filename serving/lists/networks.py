"""Networks (CIDR) that hold an address: hash tables by prefix length, of which only those that can match are asked.

The prefix of a network with a leading one bit is one integer for network and length (10.0.0.0/8 is 0b1_00001010). For
each block of addresses (/16 of IPv4, /32 of IPv6) the lengths that occur in it are kept, so that an address costs one
look-up where no network is near, whatever the number of networks. Lengths are only ever added: a length without a
network costs a look-up that finds nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Generic, TypeVar

T = TypeVar("T")
_ipv4 = struct.Struct("!I").unpack


class Prefixes(Generic[T]):
    """Values by network of one address family."""

    def __init__(self, family: int, bits: int, block_bits: int) -> None:
        self._family, self._bits, self._block_bits = family, bits, block_bits
        self._block_shift = bits - block_bits
        self._short: tuple[int, ...] = ()
        self._in_block: dict[int, tuple[int, ...]] = {}
        self.values: dict[int, T] = {}

    def key(self, value: str) -> int:
        """The prefix of a network in its canonical spelling, with the leading bit."""
        address, _, length = value.partition("/")
        bits = int(length)
        return int.from_bytes(inet_pton(self._family, address)) >> (self._bits - bits) | 1 << bits

    def learn(self, key: int) -> None:
        """Remember that there is a network of that length, in that block."""
        length = key.bit_length() - 1
        if length < self._block_bits:
            if length not in self._short:
                self._short = (*self._short, length)
        else:
            block = (key >> (length - self._block_bits)) ^ (1 << self._block_bits)
            known = self._in_block.get(block, ())
            if length not in known:
                self._in_block[block] = (*known, length)

    def holding(self, packed: bytes) -> Sequence[T]:
        """The values of every network that holds the packed address."""
        number = int.from_bytes(packed)
        found, bits, values = [], self._bits, self.values
        for lengths in (self._in_block.get(number >> self._block_shift, ()), self._short):
            for length in lengths:
                value = values.get(number >> (bits - length) | 1 << length)
                if value is not None:
                    found.append(value)
        return found


def _touch(touched: bytearray, key: int) -> None:
    """Set the bit of every /24 that a network touches."""
    length = key.bit_length() - 1
    prefix = key ^ (1 << length)
    first = prefix << (24 - length) if length < 24 else prefix >> (length - 24)
    count = 1 << max(0, 24 - length)
    if count < 8:
        for block in range(first, first + count):
            touched[block >> 3] |= 1 << (block & 7)
    else:  # whole bytes: networks begin at a multiple of their size
        touched[first >> 3 : (first + count) >> 3] = b"\xff" * (count >> 3)


class Networks(Generic[T]):
    """Values by network of both address families; networks are named in their canonical spelling."""

    def __init__(self) -> None:
        self._v4: Prefixes[T] = Prefixes(AF_INET, 32, 16)
        self._v6: Prefixes[T] = Prefixes(AF_INET6, 128, 32)
        #: One bit for each /24 of IPv4: whether a network touches it. It spares most addresses every other look-up.
        self._touched = bytearray(1 << 21)
        #: Whether there never was a network.
        self.empty = True

    def __len__(self) -> int:
        return len(self._v4.values) + len(self._v6.values)

    def get(self, value: str) -> T | None:
        """The value of that network, or None."""
        prefixes = self._of(value)
        return prefixes.values.get(prefixes.key(value))

    def put(self, value: str, held: T) -> None:
        """Set the value of a network."""
        prefixes = self._of(value)
        key = prefixes.key(value)
        if prefixes is self._v4 and key not in prefixes.values:
            _touch(self._touched, key)
        prefixes.learn(key)
        prefixes.values[key] = held
        self.empty = False

    def drop(self, value: str) -> None:
        """Remove the value of a network."""
        prefixes = self._of(value)
        del prefixes.values[prefixes.key(value)]

    def holding(self, address: str) -> Sequence[T]:
        """The values of every network that holds an address in its canonical spelling; of none for any other text."""
        try:
            if ":" in address:
                return self._v6.holding(inet_pton(AF_INET6, address))
            packed = inet_pton(AF_INET, address)
        except OSError:
            return ()
        number: int = _ipv4(packed)[0]
        if not self._touched[number >> 11] >> (number >> 8 & 7) & 1:
            return ()
        return self._v4.holding(packed)

    def _of(self, text: str) -> Prefixes[T]:
        return self._v6 if ":" in text else self._v4


def is_network(value: str) -> bool:
    """Whether the value of an entry of kind `ip` is a network, not an address or a pseudonym."""
    return "/" in value


def network_word(text: str) -> str | None:
    """The canonical spelling of a network; that of its only address for one that has one; None for no network.

    Bits behind the prefix are cleared; IPv4 inside IPv6 (`::ffff:0:0/96`) is IPv4.

    >>> network_word("10.1.2.3/8"), network_word("2001:DB8::1/32"), network_word("203.0.113.9/32")
    ('10.0.0.0/8', '2001:db8::/32', '203.0.113.9')
    >>> network_word("::ffff:203.0.113.0/120"), network_word("10.0.0.0/33")
    ('203.0.113.0/24', None)
    """
    text = text.strip()
    if not text.isascii():
        return None
    try:
        network: IPv4Network | IPv6Network = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            network = IPv4Network((mapped, network.prefixlen - 96))
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)
