"""Which tier a payment can afford while the service is behind: dear payments keep the full tier longest.

The pressure on a payment is the work that stands before it, in parts of its deadline; from about half of
the deadline on its own age counts too. Each tier ends at a pressure that rises with the payment's rank by
money at risk, so that as load rises the cheapest payments are decided by rules alone, then by amount, and
are refused last. Age alone never refuses: a process that was held up still answers, at the lowest tier.
Pure but for the ranks, which learn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from features.domain.money import LARGEST_AMOUNT_MINOR, reference_weights
from features.domain.payment import DEFAULT_DEADLINE_MS
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY

REFUSED = "refused"
#: What a payment may get, best first.
LADDER = (FULL, RULES_ONLY, DEFAULT, REFUSED)

#: A tier is given below this pressure: (for the cheapest, more for the dearest), in parts of the deadline.
LIMITS = ((0.06, 0.16), (0.14, 0.18), (0.60, 0.10))
#: The last of these while the queue does not get shorter: room for bursts is of no use then. Nobody is refused
#: before the dearest is decided by amount.
STANDING_LIMIT = (0.42, 0.10)
_STEPS = tuple(zip(LADDER, LIMITS, strict=False))
_STANDING = (*_STEPS[:2], (DEFAULT, STANDING_LIMIT))
#: Nobody is refused while the work before it would leave it this tier.
REFUSE_FROM = LADDER.index(RULES_ONLY)
#: From this part of its deadline on, a payment's age counts as pressure.
PATIENCE = 0.45
#: Work is compared with deadlines within these, ms: nobody makes the queue longer for others by being patient.
SHORTEST_MS, LONGEST_MS = 30, DEFAULT_DEADLINE_MS
#: Time of deciding at a tier relative to the full one, with HTTP, measured side by side.
COST = {FULL: 1.0, RULES_ONLY: 0.9, DEFAULT: 0.8}


def tier_for(work_ms: float, age_ms: float, deadline_ms: float, rank: float, standing: bool = False) -> str:
    """The best tier, or `refused`, for a payment of that rank (0 cheapest, 1 dearest).

    `work_ms` is how long the work before it takes, `age_ms` how long ago it arrived, `standing` that the queue
    has been long for a while.

    >>> [tier_for(17.0, 0.0, 80.0, rank) for rank in (0.0, 0.5, 1.0)]
    ['default', 'rules_only', 'full']
    >>> tier_for(0.0, 50.0, 80.0, 0.5), tier_for(60.0, 0.0, 80.0, 0.5), tier_for(0.0, 200.0, 80.0, 0.5)
    ('rules_only', 'refused', 'default')
    >>> tier_for(39.0, 0.0, 80.0, 0.5), tier_for(39.0, 0.0, 80.0, 0.5, standing=True)
    ('default', 'refused')
    """
    own = max(deadline_ms, SHORTEST_MS)
    before = work_ms / min(own, LONGEST_MS)
    pressed = max(before, (work_ms + age_ms) / own - PATIENCE)
    for tier, (cheapest, more) in _STANDING if standing else _STEPS:
        if pressed < cheapest + more * rank:
            return tier
    cheapest, more = LIMITS[REFUSE_FROM]
    return REFUSED if before >= cheapest + more * rank else DEFAULT


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """A payment on its way in: when it arrived (monotonic ns) and the best tier it may have."""

    arrived_ns: int
    most: str


class Glance(msgspec.Struct, frozen=True, gc=False):
    """What can be told of a payment without parsing it; money in reference minor units times the channel's risk."""

    money: int
    deadline_ms: int


_AMOUNT = re.compile(rb'"amount_minor"\s*:\s*(\d{1,15})')
_CURRENCY = re.compile(rb'"currency"\s*:\s*"([A-Z]{3})"')
_CHANNEL = re.compile(rb'"channel"\s*:\s*"([a-z_0-9]{1,12})"')
_DEADLINE = re.compile(rb'"deadline_ms"\s*:\s*(\d{1,9})')


class Eye:
    """Looks at a body that was not parsed: only the order of shedding depends on what it sees, never a decision."""

    def __init__(self, reference_currency: str | None, channel_risk: Mapping[str, float]) -> None:
        weights = {} if reference_currency is None else reference_weights(reference_currency)
        self._weights = {code.encode(): weight for code, weight in weights.items()}
        self._risk = {channel.encode(): risk for channel, risk in channel_risk.items()}

    def glance(self, body: bytes) -> Glance:
        """Money at risk and deadline; 0 and the default where the body does not say.

        >>> Eye("INR", {"pos": 0.5}).glance(b'{"amount_minor": 900, "currency": "INR", "channel": "pos"}')
        Glance(money=450, deadline_ms=80)
        """
        found = _AMOUNT.search(body)
        money = 0 if found is None else min(int(found[1]), LARGEST_AMOUNT_MINOR)
        found = _CURRENCY.search(body)
        numerator, denominator = self._weights.get(found[1], (1, 1)) if found is not None else (1, 1)
        money = money * numerator // denominator
        if self._risk:
            found = _CHANNEL.search(body)
            money = int(money * self._risk.get(found[1], 1.0)) if found is not None else money
        found = _DEADLINE.search(body)
        return Glance(money, DEFAULT_DEADLINE_MS if found is None else int(found[1]))


#: Buckets of money: eight to each doubling, up to 2^60.
_BUCKETS = 8 * 61
_RENEW_AFTER = 512
_KEPT = 0.9


def bucket(money: int) -> int:
    """The bucket of an amount, rising with it.

    >>> bucket(0) <= bucket(1) < bucket(100) < bucket(120) < bucket(10**12)
    True
    """
    bits = min(money, (1 << 60) - 1).bit_length()
    return bits * 8 + ((money >> (bits - 4)) & 7 if bits > 3 else money & 7)


class Ranks:
    """Where an amount stands among recent ones, 0 to 1; what is older fades."""

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._below = [0.5] * _BUCKETS
        self._new = 0

    def learn(self, money: int) -> None:
        """Take note of a payment."""
        self._counts[bucket(money)] += 1.0
        self._new += 1
        # Early on often, so that a service that begins under load knows what is dear.
        if self._new >= _RENEW_AFTER or self._new in (16, 64, 256):
            self._renew()

    def rank(self, money: int) -> float:
        """The share of recent payments with less money at risk; it never falls as money rises."""
        return self._below[bucket(money)]

    def _renew(self) -> None:
        total, seen = sum(self._counts), 0.0
        for place, count in enumerate(self._counts):
            self._below[place] = (seen + count / 2) / total
            seen += count
        if self._new >= _RENEW_AFTER:
            self._counts = [count * _KEPT for count in self._counts]
            self._new = 0
