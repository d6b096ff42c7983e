"""Load shedding: the best tier of a payment under load; payments with much money at risk keep the full tier longest.

The pressure on a payment is the work before it as a fraction of its deadline; from about half of the deadline on its
own age counts too. Each tier ends at a pressure that rises with the payment's rank by money at risk. As load rises, the
cheapest payments are decided first by rules alone, then by amount, and are refused last. Age alone never refuses: a
process that stalled still answers, at the lowest tier. Pure except for `AmountRanks`, which learns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from features.domain.money import LARGEST_AMOUNT_MINOR, Weights
from features.domain.payment import DEFAULT_DEADLINE_MS
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY

REFUSED = "refused"
#: The tiers under load, best first.
LADDER = (FULL, RULES_ONLY, DEFAULT, REFUSED)

#: A tier is given below this pressure, as a fraction of the deadline: (limit for rank 0, added for rank 1).
LIMITS = ((0.06, 0.16), (0.14, 0.18), (0.60, 0.10))
#: The last of these limits for a standing queue, where room for bursts is of no use. No payment is refused before the
#: one with the highest rank is decided by amount.
STANDING_LIMIT = (0.42, 0.10)
_STEPS = tuple(zip(LADDER, LIMITS, strict=False))
_STANDING = (*_STEPS[:2], (DEFAULT, STANDING_LIMIT))
#: No payment is refused while the work before it would still allow this tier.
REFUSE_FROM = LADDER.index(RULES_ONLY)
#: From this fraction of its deadline on, a payment's age counts as pressure.
AGE_THRESHOLD = 0.45
#: Bounds of the deadline against which work is compared, ms: a long deadline must not lengthen the queue for others.
SHORTEST_MS, LONGEST_MS = 30, DEFAULT_DEADLINE_MS
#: Time of deciding at a tier relative to the full one, with HTTP, measured side by side.
COST = {FULL: 1.0, RULES_ONLY: 0.9, DEFAULT: 0.8}


def tier_for(work_ms: float, age_ms: float, deadline_ms: float, rank: float, standing: bool = False) -> str:
    """The best tier, or `refused`, for a payment of that rank (0 lowest, 1 highest money at risk).

    `work_ms` is the time of the work before it, `age_ms` the time since it arrived, `standing` whether the queue has
    been long for a while.

    >>> [tier_for(17.0, 0.0, 80.0, rank) for rank in (0.0, 0.5, 1.0)]
    ['default', 'rules_only', 'full']
    >>> tier_for(0.0, 50.0, 80.0, 0.5), tier_for(60.0, 0.0, 80.0, 0.5), tier_for(0.0, 200.0, 80.0, 0.5)
    ('rules_only', 'refused', 'default')
    >>> tier_for(39.0, 0.0, 80.0, 0.5), tier_for(39.0, 0.0, 80.0, 0.5, standing=True)
    ('default', 'refused')
    """
    own = max(deadline_ms, SHORTEST_MS)
    before = work_ms / min(own, LONGEST_MS)
    pressed = max(before, (work_ms + age_ms) / own - AGE_THRESHOLD)
    for tier, (cheapest, more) in _STANDING if standing else _STEPS:
        if pressed < cheapest + more * rank:
            return tier
    cheapest, more = LIMITS[REFUSE_FROM]
    return REFUSED if before >= cheapest + more * rank else DEFAULT


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """How a payment was admitted: when it arrived (monotonic ns) and its best tier."""

    arrived_ns: int
    best_tier: str


class Peeked(msgspec.Struct, frozen=True, gc=False):
    """What is read of an unparsed payment; money in reference minor units times the channel's risk."""

    money: int
    deadline_ms: int


_AMOUNT = re.compile(rb'"amount_minor"\s*:\s*(\d{1,15})')
_CURRENCY = re.compile(rb'"currency"\s*:\s*"([A-Za-z]{3})"')
_CHANNEL = re.compile(rb'"channel"\s*:\s*"([a-z_0-9]{1,32})"')
_DEADLINE = re.compile(rb'"deadline_ms"\s*:\s*(\d{1,9})')


class RequestPeek:
    """Peeks at the unparsed body for amount, currency, channel and deadline; only shedding depends on it."""

    def __init__(self, weights: Weights, channel_risk: Mapping[str, float]) -> None:
        self._weights = {code.encode(): weight for code, weight in weights.items()}
        self._risk = {channel.encode(): risk for channel, risk in channel_risk.items()}

    def read(self, body: bytes) -> Peeked:
        """Money at risk and deadline; 0 and the default where the body does not say.

        A currency without a weight counts as the reference currency: neither must a flood of made-up currencies take
        the best tiers from others, nor the worst tier from itself.

        >>> peek = RequestPeek({"INR": (1, 1)}, {"pos": 0.5})
        >>> peek.read(b'{"amount_minor": 900, "currency": "INR", "channel": "pos"}')
        Peeked(money=450, deadline_ms=80)
        """
        found = _AMOUNT.search(body)
        money = 0 if found is None else min(int(found[1]), LARGEST_AMOUNT_MINOR)
        found = _CURRENCY.search(body)
        numerator, denominator = self._weights.get(found[1].upper(), (1, 1)) if found is not None else (1, 1)
        money = money * numerator // denominator
        if self._risk:
            found = _CHANNEL.search(body)
            money = int(money * self._risk.get(found[1], 1.0)) if found is not None else money
        found = _DEADLINE.search(body)
        return Peeked(money, DEFAULT_DEADLINE_MS if found is None else int(found[1]))


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


class AmountRanks:
    """The rank of an amount among recent ones, 0 to 1; older amounts fade."""

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._below = [0.5] * _BUCKETS
        self._new = 0

    def learn(self, money: int) -> None:
        """Count the amount of a payment."""
        self._counts[bucket(money)] += 1.0
        self._new += 1
        # Often at first, so that a service that starts under load has ranks early.
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
