"""The share that this process has of each bound of the service; read on the way of a payment, set by the exchange.

A bound is a number per minute or second that all scoring processes keep together. Without an agreement a process has
its *fraction* of every bound, and the fractions of all processes add up to at most 1. A process that needs more asks;
the others release what they do not use at their next exchange, and keep `RESERVE` of their fraction for the first
payments that come to them: so the service may pass a bound by `RESERVE` in total, never by more.

The rate of a key is shared in whole requests, as tokens of one bucket that Redis fills: each process holds some, and
gets others at its exchanges for those that it used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

#: What a process keeps of its fraction of a bound that it released, beyond the bound.
RESERVE = 0.1
#: While an exchange is under way, a process uses at most this part (1/AHEAD) of what is left of its share.
AHEAD = 8
#: Of the tokens of a rate the processes hold this part, and one each; the rest goes to those that used theirs. The
#: script SHARE has the same number.
HELD_PART = 0.75
#: A process whose exchanges fail for so long fills its buckets with its fraction: Redis has held that back by then.
ALONE_SECONDS = 1.6
#: A fraction that grew counts for new token buckets after so long; by then the tokens are there.
GROWN_SECONDS = 2.0


class Ask(msgspec.Struct, frozen=True):
    """What a process says about one bound: how much it would have, and what it has used of it."""

    name: str
    bound: float
    used: float
    wanted: float
    keep_seconds: int


class Member(Protocol):
    """A part of the process that keeps bounds."""

    def asks(self) -> Iterable[Ask]:
        """What it asks at this exchange."""


class Rates(Protocol):
    """A part of the process that keeps token buckets."""

    def asked(self) -> dict[str, tuple[int, float, int]]:
        """Name -> (requests per second, tokens, used since the last exchange) of the buckets in use."""

    def give(self, tokens: dict[str, float]) -> None:
        """Take what the exchange gave for what was asked last."""


class Bounds:
    """The shares of one process; a process alone has the whole of every bound.

    >>> alone = Bounds()
    >>> alone.share_of("this minute", 100)
    100.0
    >>> one_of_four = Bounds(fraction=0.25)
    >>> one_of_four.agree(0.25, {"this minute": 70.0, "last minute": 0.0})
    >>> [one_of_four.share_of(name, 100) for name in ("this minute", "last minute", "next minute")]
    [70.0, 2.5, 25.0]
    """

    def __init__(self, fraction: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self.fraction, self._now = fraction, now
        self.members: list[Member] = []
        self.rates: list[Rates] = []
        #: Whether a token bucket runs low, so that the next exchange should come soon.
        self.low = False
        self._held: dict[str, float] = {}
        self._most: dict[str, float] = {}
        self._began = self._agreed = -math.inf
        self._shared = False
        self._smaller, self._grew = fraction, -math.inf

    @property
    def fills(self) -> bool:
        """Whether this process fills its token buckets itself: it shares with no other, or cannot reach Redis."""
        return self._now() - self._agreed > ALONE_SECONDS

    def bucket_of(self, rate: int) -> float:
        """The most tokens of a rate that this process may hold; at least one whole request."""
        if not self._shared:
            return max(1.0, self.fraction * rate)
        return 1.0 + HELD_PART * self.fraction * rate

    def first_of(self, rate: int) -> float:
        """The tokens with which a new bucket begins."""
        if not self._shared:
            return self.bucket_of(rate)
        old = self._now() - self._grew > GROWN_SECONDS
        return 1.0 + HELD_PART * (self.fraction if old else min(self.fraction, self._smaller)) * rate

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
            used = ask.used + max(0.0, self.share_of(ask.name, ask.bound) - ask.used) / AHEAD
            self._held[ask.name] = used
            found.append(msgspec.structs.replace(ask, used=used, wanted=max(ask.wanted, used)))
            self._most[ask.name] = max(used, self.fraction * ask.bound)
        return found

    def rates_asked(self) -> dict[str, tuple[int, float, int]]:
        """What the token buckets of this process ask."""
        self.low, self._began = False, self._now()
        return {name: ask for one in self.rates for name, ask in one.asked().items()}

    def agree(self, fraction: float, held: dict[str, float]) -> None:
        """Take over what the service agreed on."""
        before = self.fraction if self._shared else 0.0
        if fraction > before + 1e-9:
            grown = self._now() - self._grew > GROWN_SECONDS
            self._smaller, self._grew = before if grown else min(before, self._smaller), self._now()
        self._shared, self._agreed = True, self._began
        self.fraction, self._held = fraction, held
        self._most.clear()
        for one in self.rates:
            one.give(held)

    def fail(self) -> None:
        """The exchange gave no answer: the others may have taken what was asked about, so keep to the fraction."""
        for name, most in self._most.items():
            if self._held.get(name, 0.0) > most:
                self._held[name] = most
        self._most.clear()
