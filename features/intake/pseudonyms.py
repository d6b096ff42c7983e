"""Pseudonyms of instrument and IP identifiers: keyed hashes, deterministic, and not reversible without the key.

A pseudonym is `hi_` (instrument) or `hp_` (IP) and 32 letters: keyed BLAKE2b of 128 bits. Windows only compare
identifiers for equality, so features are the same with clear identifiers and with pseudonyms. The hash is written in
letters, not hexadecimal digits, so that no pseudonym looks like a card number.
"""

from __future__ import annotations

import re
from binascii import hexlify
from hashlib import blake2b

from features.domain.addresses import window_address

_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_INSTRUMENT, _IP = "hi_", "hp_"
PREFIXES = {"instrument": _INSTRUMENT, "ip": _IP}
_PSEUDONYM = re.compile(r"h[ip]_[a-p]{32}", re.ASCII)


class Pseudonyms:
    """Makes pseudonyms with one secret; `fingerprint` identifies the secret without revealing it.

    >>> names = Pseudonyms("a secret of thirty-two characters")
    >>> names.instrument("vpa-77ab") == names.instrument("vpa-77ab"), names.instrument("vpa-77ab")[:3]
    (True, 'hi_')
    """

    def __init__(self, secret: str) -> None:
        key = blake2b(secret.encode(), digest_size=32, person=b"riskgate").digest()
        self._instrument = blake2b(key=key, digest_size=16, person=b"instrument")
        self._ip = blake2b(key=key, digest_size=16, person=b"ip")
        self.fingerprint = blake2b(key=key, digest_size=8, person=b"fingerprint").hexdigest()

    def instrument(self, clear: str) -> str:
        """The pseudonym of an instrument."""
        digest = self._instrument.copy()
        digest.update(clear.encode())
        return _INSTRUMENT + hexlify(digest.digest()).translate(_LETTERS).decode()

    def ip(self, clear: str) -> str:
        """The pseudonym of an IP address; all addresses of one IPv6 /64 have the same."""
        digest = self._ip.copy()
        digest.update(window_address(clear).encode())
        return _IP + hexlify(digest.digest()).translate(_LETTERS).decode()

    def of(self, entity: str, identifier: str) -> str:
        """The stored form of an identifier: hashed for instrument and IP; a pseudonym and other kinds are unchanged."""
        if entity not in PREFIXES or is_pseudonym(entity, identifier):
            return identifier
        return self.instrument(identifier) if entity == "instrument" else self.ip(identifier)


def is_pseudonym(entity: str, identifier: str) -> bool:
    """Whether an identifier already is a pseudonym of that kind.

    >>> is_pseudonym("ip", "hp_" + "a" * 32), is_pseudonym("ip", "203.0.113.9")
    (True, False)
    """
    return identifier.startswith(PREFIXES.get(entity, "?")) and _PSEUDONYM.fullmatch(identifier) is not None
