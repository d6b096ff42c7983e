"""Limits the share of one party in the declines that a breaker counts, so that an attack opens no breaker.

A faulty model declines many unrelated parties; in an attack one device, payer, payee, instrument or address is
declined many times. A decline therefore counts only while each of its parties holds fewer than `LEAST` of the declines
counted within the last one to two minutes, or less than `LARGEST_SHARE` of them. A party that was not sent is ignored.

The counts are a count-min sketch of one row: its size is fixed, and a collision can only make a breaker slower to
open, never let an attack count for more.
"""

from __future__ import annotations

from array import array
from collections import deque
from hashlib import blake2b
from operator import attrgetter

from features.domain.payment import Payment

#: Parties of one attacker, and parties that unrelated payments may have in common.
OWN, SHARED = ("payer_id", "instrument_id", "device_id"), ("payee_id", "ip")
LEAST = 3
LARGEST_SHARE = 0.1
CELLS = 1 << 12  # for each kind of party
SAMPLES = 64
#: Smallest denominator of a share: the first payment of a service is not 100 % of its traffic.
FEWEST_SAMPLES = 20
#: A payee or address may hold this many times its usual share of payments in the declines: random variation.
SLACK = 2.0

_fields = attrgetter(*OWN, *SHARED)
#: The parties of a payment as 64-bit digests, equal in every process; None: not sent.
Parties = tuple[int | None, ...]


def digest_of(party: str) -> int:
    """The digest of a party's id."""
    return int.from_bytes(blake2b(party.encode(), digest_size=8).digest(), "little")


def parties_of(payment: Payment) -> Parties:
    """The digests of a payment's parties, in the order of OWN and SHARED; an empty id says nothing."""
    return tuple([digest_of(party) if party else None for party in _fields(payment)])


class UsualParties:
    """Payees and addresses of payments that were not declined, one sample per ten seconds or so.

    The only shop of a deployment, or the gateway of all its payments, is part of every surge. Declined payments are
    never sampled, so an attack cannot become usual.
    """

    def __init__(self) -> None:
        self._samples: deque[Parties] = deque(maxlen=SAMPLES)

    def add(self, payment: Payment) -> None:
        """Add the sample of one payment that was not declined."""
        self._samples.append(parties_of(payment)[len(OWN) :])

    def share(self, kind: str, party: int) -> float:
        """The share of payments that usually carry this payee or address, 0 to 1; 0 for any other kind of party."""
        if kind not in SHARED:
            return 0.0
        place = SHARED.index(kind)
        return sum(one[place] == party for one in self._samples) / max(len(self._samples), FEWEST_SAMPLES)


class Concentration:
    """The declines of one rule or model by party, over the current and the previous minute; one thread."""

    def __init__(self, usual: UsualParties) -> None:
        self._usual = usual
        self._now, self._before = _cells(), _cells()
        self._total_now = self._total_before = 0

    def counts(self, parties: Parties) -> bool:
        """Count a decline of a payment with these parties; False when one of them already holds too many."""
        now, before = self._now, self._before
        total = self._total_now + self._total_before
        most = max(LEAST, LARGEST_SHARE * total)
        cells: list[int] = []
        first = 0
        for party in parties:
            if party is not None:
                cell = first + party % CELLS
                held = now[cell] + before[cell]
                if held >= most and held >= self._usual_most(first // CELLS, party, total):
                    return False
                cells.append(cell)
            first += CELLS
        for cell in cells:
            now[cell] += 1
        self._total_now += 1
        return True

    def next_minute(self) -> None:
        """Start a new minute."""
        self._now, self._before = _cells(), self._now
        self._total_now, self._total_before = 0, self._total_now

    def _usual_most(self, place: int, party: int, total: int) -> float:
        return SLACK * self._usual.share((*OWN, *SHARED)[place], party) * total


def _cells() -> array[int]:
    return array("I", bytes(array("I").itemsize * CELLS * len((*OWN, *SHARED))))
