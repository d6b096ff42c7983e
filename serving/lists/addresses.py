"""Addresses of listed networks under a hash key: noted at the door, before an address becomes a pseudonym.

No network can be recognised in a pseudonym. So whoever hashes the address of an incoming payment also asks whether a
listed network holds it, and only then keeps it, in memory, until the payment is decided. The receipt names the network.
"""

from __future__ import annotations

from features.intake.normalise import address_word
from features.intake.pseudonyms import Pseudonyms
from serving.lists.book import ListBook

#: More than the payments that can be under way: 2,048 requests, of each batch 8 at a time.
MOST_ADDRESSES = 1 << 17


class NotingPseudonyms(Pseudonyms):
    """Pseudonyms whose `ip` notes an address that a listed network holds."""

    def __init__(self, names: Pseudonyms, book: ListBook) -> None:
        self.__dict__.update(names.__dict__)
        self._book = book

    def ip(self, clear: str) -> str:
        """The pseudonym of an IP address, in any spelling."""
        name = super().ip(clear)
        noted = self._book.clear_addresses
        address = address_word(clear) or clear
        if self._book.in_a_network(address):
            noted[name] = address
            if len(noted) > MOST_ADDRESSES:
                del noted[next(iter(noted))]
        elif noted:
            noted.pop(name, None)
        return name


def noting(names: Pseudonyms | None, book: ListBook) -> Pseudonyms | None:
    """The hasher for what enters: as `names`, and what a network must see is noted."""
    return None if names is None else NotingPseudonyms(names, book)
