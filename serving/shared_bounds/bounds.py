"""The share that this process has of each bound of the service; read on the way of a payment, set by the exchange.

A bound is a number per minute or second that all scoring processes keep together. Without an agreement a process has
its *fraction* of every bound, and the fractions of all processes add up to at most 1. A process that needs more asks;
the others release what they do not use at their next exchange, and keep `RESERVE` of their fraction for the first
payments that come to them: so the service may pass a bound by `RESERVE` in total, never by more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

#: What a process keeps of its fraction of a bound that it released, beyond the bound.
RESERVE = 0.1
#: While an exchange is under way, a process uses at most this part (1/AHEAD) of what is left of its share.
AHEAD = 8


class Ask(msgspec.Struct, frozen=True):
    """What a process says about one bound: how much it would have, and what it has used of it.

    `used` is None for a bound that refills: a share of it can be released at any time.
    """

    name: str
    bound: float
    used: float | None
    wanted: float
    keep_seconds: int


class Member(Protocol):
    """A part of the process that keeps bounds."""

    def asks(self) -> Iterable[Ask]:
        """What it asks at this exchange; nothing for a bound that refills and that it does not use now."""


class Bounds:
    """The shares of one process; a process alone has the whole of every bound.

    >>> alone = Bounds()
    >>> alone.share_of("rate:till", 100)
    100.0
    >>> one_of_four = Bounds(fraction=0.25)
    >>> one_of_four.agree(0.25, {"rate:till": 70.0, "rate:shop": 0.0})
    >>> [one_of_four.share_of(name, 100) for name in ("rate:till", "rate:shop", "rate:other")]
    [70.0, 2.5, 25.0]
    """

    def __init__(self, fraction: float = 1.0) -> None:
        self.fraction = fraction
        self.members: list[Member] = []
        self._held: dict[str, float] = {}
        self._most: dict[str, float] = {}

    def share_of(self, name: str, bound: float) -> float:
        """How much of the bound this process may use now."""
        own = self.fraction * bound
        held = self._held.get(name)
        if held is None:
            return own
        return held if held > RESERVE * own else RESERVE * own

    def begin(self) -> list[Ask]:
        """What this process asks; until `agree` or `fail` it uses no more than it names as used.

        That is a little more than it has used, so that payments of the next milliseconds are not challenged for it.
        """
        found = []
        for ask in (ask for member in self.members for ask in member.asks()):
            used = 0.0
            if ask.used is not None:
                share = self.share_of(ask.name, ask.bound)
                used = ask.used + max(0.0, share - ask.used) / AHEAD
                self._held[ask.name] = used
            found.append(msgspec.structs.replace(ask, used=used, wanted=max(ask.wanted, used)))
            self._most[ask.name] = max(used, self.fraction * ask.bound)
        return found

    def agree(self, fraction: float, held: dict[str, float]) -> None:
        """Take over what the service agreed on."""
        self.fraction, self._held = fraction, held
        self._most.clear()

    def fail(self) -> None:
        """The exchange gave no answer: the others may have taken what was asked about, so keep to the fraction."""
        for name, most in self._most.items():
            if self._held.get(name, 0.0) > most:
                self._held[name] = most
        self._most.clear()
