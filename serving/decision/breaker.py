"""Circuit breakers: a rule or model that suddenly declines far more than usual loses the power to decline.

Each rule and the model have a slow baseline of their own. A breaker opens when the share of payments declined within
the last minute is at least `FACTOR` times the baseline's and chance does not explain it: by Chernoff's bound,
P(Binomial(n, p) >= k) <= exp(-n KL(k/n || p)). It closes when, after a cool-down, the share is near the baseline's
again. Both shares are of all payments decided: shed payments count as not declined, so overload can hide a surge but
never feign one. An attack cannot feign one either: of the declines of one device, payer, payee, instrument or address
only a few are counted (serving/decision/concentration.py).
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from features.bundle.policy import MODEL, Policy
from features.domain.payment import Payment
from serving.decision.concentration import Concentration, Parties, UsualParties, parties_of
from serving.decision.decision import Decision
from serving.decision.thresholds import below_decline

log = logging.getLogger("riskgate.breaker")

SLOT_MS = 10_000
SLOTS = 6
FACTOR = 5.0
#: Fewer declines within a minute never open a breaker.
LEAST_DECLINES = 30
#: Log of the largest p-value that opens a breaker; strict, because the test runs after every decline.
LOG_CHANCE = math.log(1e-9)
#: Payments before a baseline is used; a share given by the policy weighs `PRIOR_PAYMENTS`.
LEAST_PAYMENTS = 1_000
PRIOR_PAYMENTS = 2_000.0
#: Decay of the baseline: older payments lose weight exponentially over so many payments.
MEMORY_PAYMENTS = 100_000.0
#: Lower bound of a baseline: a rule that has never declined may begin to.
LEAST_SHARE = 0.0005
COOL_DOWN_MS = 120_000
CALM_FACTOR = 2.0
#: Declines kept for the other processes: far more than open a breaker, and a bound of memory where there are none.
MOST_TOLD = 256


class Counted(NamedTuple):
    """Payments decided in one process, and its counted declines: the rule (or `model`) and the parties."""

    payments: int
    declines: list[tuple[str, Parties]]


def divergence(share: float, usual: float) -> float:
    """Kullback–Leibler divergence of two Bernoulli distributions, nats; both shares in [0, 1], usual in (0, 1).

    >>> divergence(0.3, 0.3)
    0.0
    """
    found = 0.0
    if share > 0.0:
        found += share * math.log(share / usual)
    if share < 1.0:
        found += (1.0 - share) * math.log((1.0 - share) / (1.0 - usual))
    return found


def is_surge(declines: int, payments: int, usual: float) -> bool:
    """Whether so many declines among so many payments are far more than usual, beyond chance."""
    if declines < LEAST_DECLINES or declines > payments:
        return False
    share = declines / payments
    return usual < 1.0 and share >= FACTOR * usual and -payments * divergence(share, usual) <= LOG_CHANCE


class Baseline:
    """The share of payments that one rule or the model usually declines; frozen while its breaker is open."""

    def __init__(self, usual: float | None) -> None:
        self.payments = 0.0 if usual is None else PRIOR_PAYMENTS
        self.declines = 0.0 if usual is None else PRIOR_PAYMENTS * usual

    @property
    def share(self) -> float | None:
        """The usual share, None before `LEAST_PAYMENTS`."""
        if self.payments < LEAST_PAYMENTS:
            return None
        return max(self.declines / self.payments, LEAST_SHARE)

    def learn(self, declines: int, payments: int) -> None:
        """Add counts that have left the last minute."""
        kept = math.exp(-payments / MEMORY_PAYMENTS)
        self.payments = self.payments * kept + payments
        self.declines = self.declines * kept + declines


class Breakers:
    """The breakers of a model and its rules; one thread. `open` names the open ones, sorted.

    `decline_as` is the decision that replaces a decline, for messages to operators.
    """

    def __init__(
        self,
        names: Iterable[str],
        usual: Mapping[str, float] | None = None,
        decline_as: Decision = Decision.CHALLENGE,
    ) -> None:
        given = usual or {}
        self._decline_as = decline_as
        self._usual_parties = UsualParties()
        self._concentrations: dict[str, Concentration] = {}  # of rules that have declined
        self._slots_passed = 0
        self._baselines = {name: Baseline(given.get(name)) for name in names}
        self._slots: deque[tuple[int, dict[str, int]]] = deque()  # full slots of the last minute
        self._payments, self._declines = 0, dict[str, int]()  # of the slot being filled
        self._all_payments, self._all_declines = 0, dict.fromkeys(self._baselines, 0)  # of the whole minute
        self._slot = 0
        self._opened_ms: dict[str, int] = {}
        self._untold, self._told = 0, list[tuple[str, Parties]]()
        self.open: tuple[str, ...] = ()
        self.trips = 0

    def observe(self, now_ms: int, declining: tuple[str, ...], payment: Payment | None = None) -> None:
        """Count one decided payment and the rules that asked for a decline; times in milliseconds UTC.

        Without the payment the concentration of parties is not checked.
        """
        if now_ms // SLOT_MS != self._slot:
            self._roll(now_ms)
            if payment is not None and not declining:
                self._usual_parties.add(payment)
        self._payments += 1
        self._all_payments += 1
        self._untold += 1
        if declining:
            parties = None if payment is None else parties_of(payment)
            for name in declining:
                if self._count(name, parties, now_ms) and parties is not None and len(self._told) < MOST_TOLD:
                    self._told.append((name, parties))

    def take_counted(self) -> Counted:
        """What was counted here since the last call, for the other processes of the service."""
        counted = Counted(self._untold, self._told)
        self._untold, self._told = 0, []
        return counted

    def observe_elsewhere(self, now_ms: int, counted: Counted) -> None:
        """Count what another process counted: breakers judge the traffic of the whole service."""
        if now_ms // SLOT_MS != self._slot:
            self._roll(now_ms)
        self._payments += counted.payments
        self._all_payments += counted.payments
        for name, parties in counted.declines:
            self._count(name, parties, now_ms)

    def _count(self, name: str, parties: Parties | None, now_ms: int) -> bool:
        """Count a decline, unless one of its parties has too many."""
        if name not in self._baselines or (parties is not None and not self._counts(name, parties)):
            return False
        self._declines[name] = self._declines.get(name, 0) + 1
        self._all_declines[name] += 1
        if name not in self._opened_ms:
            self._check(name, now_ms)
        return True

    def successor(self, policy: Policy) -> Breakers:
        """The breakers of the next bundle: baselines are kept unless its policy states the usual share."""
        new = breakers_of(policy)
        for name, baseline in self._baselines.items():
            if name in new._baselines and name not in policy.usual_decline_share:
                new._baselines[name] = baseline
        new.trips = self.trips
        new._usual_parties = self._usual_parties
        new._untold, new._told = self._untold, self._told
        return new

    def usual(self, name: str) -> float | None:
        """The share of payments that `name` usually declines, None while unknown."""
        return self._baselines[name].share

    def now(self, name: str) -> float:
        """The share of payments that `name` asked to decline within about the last minute, as counted."""
        return self._all_declines[name] / self._all_payments if self._all_payments else 0.0

    def names(self) -> tuple[str, ...]:
        """The rules, and the model, that have a breaker."""
        return tuple(self._baselines)

    def sentence(self) -> str:
        """The open breakers in words for an operator, or `ok`."""
        if not self.open:
            return "ok"
        parts = [
            f"{n} asks to decline {self.now(n):.1%} of payments, usually {self.usual(n) or 0:.2%}" for n in self.open
        ]
        return f"Open, declines are {self._decline_as.word}s: {'; '.join(parts)}."

    def _counts(self, name: str, parties: Parties) -> bool:
        concentration = self._concentrations.get(name)
        if concentration is None:
            concentration = self._concentrations[name] = Concentration(self._usual_parties)
        return concentration.counts(parties)

    def _check(self, name: str, now_ms: int) -> None:
        usual = self._baselines[name].share
        if usual is None or not is_surge(self._all_declines[name], self._all_payments, usual):
            return
        self._opened_ms[name] = now_ms
        self.open = tuple(sorted(self._opened_ms))
        self.trips += 1
        log.error(
            "breaker open: %s declined %d of %d payments within a minute, usually %.3f %%; "
            "its declines are %ss until that is over. Check the rule or the model.",
            name, self._all_declines[name], self._all_payments, usual * 100, self._decline_as.word,
        )  # fmt: skip

    def _roll(self, now_ms: int) -> None:
        slot = now_ms // SLOT_MS
        # Slots without payments are empty; after a long pause, or a clock set back, the whole minute is over.
        passed = slot - self._slot if 0 < slot - self._slot <= SLOTS else SLOTS
        self._slots.append((self._payments, self._declines))
        self._slots.extend((0, {}) for _ in range(passed - 1))
        self._payments, self._declines = 0, {}
        while len(self._slots) >= SLOTS:
            payments, declines = self._slots.popleft()
            self._all_payments -= payments
            for name, baseline in self._baselines.items():
                own = declines.get(name, 0)
                self._all_declines[name] -= own
                if name not in self._opened_ms:
                    baseline.learn(own, payments)
        self._slot = slot
        self._slots_passed += passed
        if self._slots_passed >= SLOTS:
            self._slots_passed = 0
            for concentration in self._concentrations.values():
                concentration.next_minute()
        for name, opened_ms in list(self._opened_ms.items()):
            if not 0 <= now_ms - opened_ms < COOL_DOWN_MS and self._is_calm(name):
                del self._opened_ms[name]
                self.open = tuple(sorted(self._opened_ms))
                log.warning("breaker closed: %s declines as usual again", name)

    def _is_calm(self, name: str) -> bool:
        declines, usual = self._all_declines[name], self._baselines[name].share or LEAST_SHARE
        return declines < LEAST_DECLINES // 3 or declines <= CALM_FACTOR * usual * self._all_payments


def breakers_of(policy: Policy) -> Breakers:
    """A breaker for the model and for each rule that declines."""
    rules = [rule.name for rule in policy.rules if rule.action == "decline"]
    return Breakers((MODEL, *rules), policy.usual_decline_share, below_decline(policy))
