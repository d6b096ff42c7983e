"""A payment in a currency without a weight is decided, never more mildly than a large one, and verifies everywhere."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bundle.amount_rules import ANY_DOLLARS, UNPROVEN_DOLLARS, amount_rules, dollar_minor
from features.bundle.bundle import Bundle, read_bundle, write_bundle
from features.bundle.policy import Band, Policy
from features.catalogue.catalogue import CatalogueParameters, catalogue, catalogue_of
from features.domain.money import CURRENCIES, reference_weights
from features.domain.payment import Payment
from features.intake.parse import payment_from
from features.state.memory import State
from serving.audit.verify import VerifyResult, verify_ledger
from serving.cases import cases
from serving.cases.sqlite import SqliteCases
from serving.console.pages.wording import money
from serving.decision.decision import Decision, decision_named
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY, Evaluator
from serving.decision.receipt import decode_answer, vector_of
from serving.decision.thresholds import by_amount, by_limit, least_of_last_band
from tests.serving.asgi import Asked
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.scoring_world import BLOCKED, PARAMETERS, START_MS, payment, rfc3339
from tests.serving.servers import own_prefix

LOW = st.integers(0, 10**9)


@pytest.fixture(scope="module")
def ruled(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with the rules on amounts."""
    read = read_bundle(bundle)
    rules = (*read.policy.rules, *amount_rules(catalogue_of(read.contract).weights))
    policy = msgspec.structs.replace(read.policy, rules=rules)
    folder = tmp_path_factory.mktemp("ruled") / "risk"
    return write_bundle(msgspec.structs.replace(read, policy=policy), folder)


@pytest.fixture
def asked(tmp_path: Path, ruled: Path) -> Iterator[Asked]:
    one = Asked(tmp_path / "var", ruled)
    one.load()
    yield one
    one.close()


def made(bundle: Bundle, name: str, at_ms: int = START_MS, currency: str = "USDT", **changes: object) -> Payment:
    """A payment whose currency the door need not know."""
    parsed = payment_from(payment(name, at_ms), catalogue_of(bundle.contract))
    return msgspec.structs.replace(parsed, currency=currency, **changes)


def stream(bundle: Bundle) -> list[Payment]:
    currencies = ("INR", "USDT", "PEN", "made-up money", "USD")
    return [
        made(
            bundle, f"t-{i}", START_MS + 1_000 * i, currencies[i % 5], amount_minor=1_000 * (i + 1),
            payer_id=f"u-{i % 3}", channel=("online", "atm", "carrier_pigeon")[i % 3],
            rail=("upi", "sepa_instant", "carrier_pigeon")[i % 3],
        )
        for i in range(40)
    ]  # fmt: skip


def score(asked: Asked, one: Payment, best_tier: str = FULL) -> str:
    return decode_answer(
        asked.run(asked.engine.answer(one, time.perf_counter_ns(), best_tier=best_tier)).answer
    ).decision


def verified(asked: Asked) -> VerifyResult:
    asked.runtime.ledger.flush()
    return verify_ledger(asked.runtime.settings.ledger)


def test_both_engines_decide_it_with_the_same_vector_and_both_ledgers_verify(
    asked: Asked, ruled: Path, server_urls: tuple[str, str], tmp_path: Path
) -> None:
    bundle = read_bundle(ruled)
    known, payments = catalogue_of(bundle.contract), stream(bundle)
    for one in payments:
        score(asked, one)
    embedded = verified(asked)
    assert (embedded.payments, embedded.differences, embedded.set_aside.count) == (40, [], 0)
    with own_prefix(server_urls[0]) as prefix:
        shared = Shared(server_urls[0], prefix, ruled, tmp_path)

        async def run() -> None:
            async with shared.worker() as engine:
                for one in payments:
                    await answer_of(engine, one)

        asyncio.run(run())
        bodies, result = shared.bodies(), shared.verified()
        assert (result.payments, result.vectors, result.differences, result.set_aside.count) == (40, 40, [], 0)
        assert shared.live_state() == shared.rebuilt_state()
    state = State(known)
    for one in payments:
        vector = vector_of(bodies[one.transaction_id].receipt)
        assert vector is not None
        assert vector.tobytes() == state.observe_and_apply(one).tobytes()
        assert math.isnan(vector[known.index["amount_reference_minor"]]) == (one.currency not in CURRENCIES)


def test_a_report_about_it_is_folded(asked: Asked, ruled: Path) -> None:
    score(asked, made(read_bundle(ruled), "t-1"))
    label = {
        "transaction_id": "t-1",
        "label": "fraud",
        "source": "chargeback",
        "reported_at": rfc3339(START_MS + 60_000),
    }
    assert asked.ask("POST", "/v1/labels", label).status_code == 200
    assert verified(asked).set_aside.count == 0


def test_its_case_carries_the_currency_as_it_is_and_ranks_with_the_large_ones(asked: Asked, ruled: Path) -> None:
    bundle = read_bundle(ruled)
    score(asked, made(bundle, "t-unknown", payer_id=BLOCKED))
    score(asked, made(bundle, "t-small", currency="INR", payer_id=BLOCKED))
    asked.runtime.ledger.flush()
    with SqliteCases(asked.runtime.settings.ledger.sqlite).opened() as connection:
        unknown, small = (cases.case_of(connection, name) for name in ("t-unknown", "t-small"))
    assert (unknown.currency, unknown.amount_minor) == ("USDT", 12_500)
    assert money(unknown.amount_minor, unknown.currency) == "12,500 minor units of USDT"
    assert unknown.risk_minor == round((unknown.score or 0) * 200_001) > small.risk_minor


@pytest.mark.parametrize("tier", [RULES_ONLY, DEFAULT])
def test_no_tier_without_a_score_approves_it(asked: Asked, ruled: Path, tier: str) -> None:
    bundle = read_bundle(ruled)
    assert score(asked, made(bundle, "t-unknown", amount_minor=1), tier) != "approve"
    assert score(asked, made(bundle, "t-known", currency="INR", amount_minor=1), tier) == "approve"
    assert verified(asked).differences == []


BANDS = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(["approve", "challenge"])), max_size=3)


@given(BANDS, LOW, st.sampled_from(["challenge", "review"]))
def test_it_is_decided_like_the_largest_amount_without_features(
    edges: list[tuple[int, str]], limit: int, last: str
) -> None:
    bands = tuple(Band(edge, word) for edge, word in sorted(dict(edges).items()))
    policy = Policy(
        challenge_at=0.1, review_at=0.2, decline_at=0.3, default_bands=(*bands, Band(None, last)),
        lower_tier_approve_up_to_minor=limit,
    )  # fmt: skip
    assumed = least_of_last_band(policy)
    assert by_amount(assumed, policy) is decision_named(last)
    assert by_limit(assumed, policy) is Decision.CHALLENGE


def test_rules_read_it_as_above_every_bound_and_the_vector_keeps_it_missing(ruled: Path) -> None:
    bundle = read_bundle(ruled)
    known = catalogue_of(bundle.contract)
    evaluator = Evaluator(bundle, known)
    one = made(bundle, "t-1", amount_minor=1)
    vector = State(known).observe(one)
    before = vector.tobytes()
    found = evaluator.evaluate(one, vector, (-9.0, 0.0), explain=True)
    assert found.rules == ("large_amount_unproven_payer", "very_large_amount")
    assert found.decision is Decision.REVIEW
    assert found.reasons[0].value is None
    assert vector.tobytes() == before
    assert evaluator.reference_minor(one) is None
    assert evaluator.reference_minor(made(bundle, "t-2", currency="USD", amount_minor=100)) == 8_500


@pytest.mark.parametrize("reference", ["INR", "JPY", "KWD", "IRR", "CLF"])
def test_ten_billion_dollars_of_an_unknown_payer_are_never_approved(ruled: Path, reference: str) -> None:
    bundle = read_bundle(ruled)
    contract = catalogue(CatalogueParameters(reference, attributes=PARAMETERS.attributes)).contract()
    known = catalogue_of(contract)
    policy = msgspec.structs.replace(bundle.policy, rules=amount_rules(known.weights), usual_decline_share={})
    evaluator = Evaluator(msgspec.structs.replace(bundle, contract=contract, policy=policy), known)

    def decided(dollars: int, proven: bool) -> Decision:
        one = made(bundle, "t-1", currency="USD", amount_minor=100 * dollars)
        vector = State(known).observe(one)
        if proven:
            vector[known.index["payer_count_30d"]] = 50
        return evaluator.evaluate(one, vector, (-9.0, 0.0), explain=False).decision

    assert decided(10**10, proven=False) is Decision.REVIEW
    assert decided(10**10, proven=True) is Decision.CHALLENGE
    assert decided(UNPROVEN_DOLLARS + 100, proven=False) is Decision.REVIEW
    assert decided(UNPROVEN_DOLLARS - 100, proven=False) is Decision.APPROVE
    assert decided(ANY_DOLLARS + 1_000, proven=True) is Decision.CHALLENGE
    assert decided(ANY_DOLLARS - 1_000, proven=True) is Decision.APPROVE


def test_a_platform_of_large_amounts_has_larger_bounds() -> None:
    weights = reference_weights("JPY")
    usual = 50_000 * dollar_minor(weights)
    ordinary, large = amount_rules(weights), amount_rules(weights, usual)
    assert [rule.when[0][2] for rule in ordinary] == [1_500_000, 15_000_000]
    assert [rule.when[0][2] for rule in large] == [usual, 10 * usual]
