"""A breaker opens on a surge that chance does not explain, stays quiet on what is usual, and closes by itself."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from features.bundle.policy import Policy, Rule
from serving.decision.breaker import COOL_DOWN_MS, LEAST_DECLINES, SLOT_MS, SLOTS, Breakers, divergence, is_surge

START_MS = 1_794_355_200_000
WINDOW_MS = SLOT_MS * SLOTS


def feed(
    breakers: Breakers, at_ms: int, payments: int, declines: int, name: str = "model", over_ms: int = 5_000
) -> int:
    """`payments` spread evenly over `over_ms`, `declines` of them evenly among them; the moment after."""
    for place in range(payments):
        asked = (place * declines) // payments != ((place + 1) * declines) // payments
        breakers.observe(at_ms + place * over_ms // payments, (name,) if asked else ())
    return at_ms + over_ms


def settled(share: float = 0.004, name: str = "model") -> tuple[Breakers, int]:
    """Breakers that have seen an hour of usual payments."""
    breakers = Breakers(("model", "rule"))
    now = START_MS
    for _ in range(60):
        now = feed(breakers, now, 500, round(500 * share), name, 60_000)
    return breakers, now


def test_what_is_usual_never_opens_it() -> None:
    breakers, _ = settled()
    assert (breakers.open, breakers.trips) == ((), 0)
    assert breakers.usual("model") == pytest.approx(0.004, rel=0.01)


def test_a_surge_opens_and_is_reported_and_it_closes_when_the_rate_is_normal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    breakers, now = settled()
    with caplog.at_level(logging.WARNING, "riskgate.breaker"):
        now = feed(breakers, now, 500, 150)
        assert breakers.open == ("model",)
        assert "declines are challenges" in breakers.sentence()
        assert "model declined" in caplog.text
        usual = breakers.usual("model")
        # The surge outlasts the cool-down: it stays open, and is not learned as usual.
        end = now + COOL_DOWN_MS + WINDOW_MS
        while now < end:
            now = feed(breakers, now, 500, 150)
        assert breakers.open == ("model",)
        assert breakers.usual("model") == usual
        end = now + 2 * WINDOW_MS
        while now < end:
            now = feed(breakers, now, 500, 2)
        assert (breakers.open, breakers.trips) == ((), 1)
        assert breakers.sentence() == "ok"
        assert "breaker closed" in caplog.text


def test_each_name_has_its_own() -> None:
    breakers, now = settled()
    feed(breakers, now, 500, 150, "rule")
    assert breakers.open == ("rule",)


def test_without_a_baseline_nothing_opens_but_what_training_measured_is_one() -> None:
    new = Breakers(("model",))
    feed(new, START_MS, 900, 500)
    assert new.open == ()
    breakers = Breakers(("model",), {"model": 0.01})
    feed(breakers, START_MS, 500, 300)
    assert breakers.open == ("model",)


def test_what_is_usual_survives_a_new_bundle_unless_its_policy_states_it() -> None:
    rules = (
        Rule("rule", (("score", ">=", 0.5),), "decline", "."),
        Rule("mild", (("score", ">=", 0.5),), "review", "."),
    )
    policy = Policy(challenge_at=0.1, review_at=0.2, decline_at=0.3, rules=rules)
    former, _ = settled(0.004)
    kept = former.successor(policy)
    assert kept.names() == ("model", "rule")
    assert kept.usual("model") == former.usual("model")
    breakers = former.successor(replace(policy, usual_decline_share={"model": 0.02}))
    assert breakers.usual("model") == pytest.approx(0.02)


def test_shed_payments_hide_a_surge_rather_than_feign_one() -> None:
    """Under overload only expensive payments are scored, of which more are declined: the cheap ones still count."""
    breakers, now = settled(0.004)
    feed(breakers, now, 5_000, 80)  # 4 % of the 2,000 that were scored, 1.6 % of all
    assert breakers.open == ()


@given(st.integers(1, 5_000), st.floats(0.0005, 0.5), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_chance_alone_is_no_surge(payments: int, usual: float, seed: int) -> None:
    declines = int(np.random.default_rng(seed).binomial(payments, usual))
    assert not is_surge(declines, payments, usual)


@given(st.floats(0.001, 0.9), st.integers(100, 5_000), st.integers(0, 5_000), st.integers(0, 100))
def test_more_declines_are_never_less_of_a_surge(usual: float, payments: int, declines: int, more: int) -> None:
    fewer = min(declines, payments)
    most = min(fewer + more, payments)
    assert is_surge(most, payments, usual) or not is_surge(fewer, payments, usual)


@given(st.floats(0, 1), st.floats(0.001, 0.999))
def test_divergence_is_never_negative(share: float, usual: float) -> None:
    assert divergence(share, usual) >= -1e-12


class Machine(RuleBasedStateMachine):
    """Any order of payments, pauses and clock steps, compared with a plain model of the window."""

    @initialize(usual=st.one_of(st.none(), st.floats(0.001, 0.2)))
    def begin(self, usual: float | None) -> None:
        self.breakers = Breakers(("model", "rule"), {} if usual is None else {"model": usual, "rule": usual})
        self.now = START_MS
        self.events: list[tuple[int, tuple[str, ...]]] = []
        self.opened: dict[str, int] = {}

    def note(self, names: tuple[str, ...]) -> None:
        self.breakers.observe(self.now, names)
        self.events.append((self.now // SLOT_MS, names))
        for name in self.breakers.open:
            self.opened.setdefault(name, self.now)
        for name in [n for n in self.opened if n not in self.breakers.open]:
            assert self.now - self.opened.pop(name) >= COOL_DOWN_MS, "closed before its cool-down was over"

    @rule(
        count=st.integers(1, 400),
        every=st.integers(1, 50),
        step=st.integers(0, 200),
        names=st.sampled_from([("model",), ("rule",), ("model", "rule"), ("stranger",)]),
    )
    def payments(self, count: int, every: int, step: int, names: tuple[str, ...]) -> None:
        for place in range(count):
            self.now += step
            self.note(names if place % every == 0 else ())

    @rule(pause=st.integers(0, 10 * WINDOW_MS))
    def wait(self, pause: int) -> None:
        self.now += pause

    @invariant()
    def the_window_holds_what_came_within_it(self) -> None:
        if not self.events:
            return
        last = self.events[-1][0]
        inside = [names for slot, names in self.events if slot > last - SLOTS]
        assert self.breakers._all_payments == len(inside)
        for name in ("model", "rule"):
            declines = sum(name in names for names in inside)
            assert self.breakers.now(name) == pytest.approx(declines / len(inside))

    @invariant()
    def an_open_breaker_had_enough_declines(self) -> None:
        for name in self.opened:
            assert sum(name in names for _, names in self.events) >= LEAST_DECLINES


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=15)
TestAnyOrder = Machine.TestCase
