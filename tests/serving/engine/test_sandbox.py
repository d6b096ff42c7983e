"""The sandbox: what each id gets, on every way to the service, and that a test touches nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.engine.sandbox import SCRIPTS, SLOW_SECONDS, is_test
from tests.serving.profiles import Profile, every_way
from tests.serving.scoring_world import Service, payment

pytestmark = every_way

#: What each id gets: decision, tier, whether there is a score.
GOT = {
    "test_approve": ("approve", "full", True),
    "test_challenge": ("challenge", "full", True),
    "test_review": ("review", "full", True),
    "test_decline": ("decline", "full", True),
    "test_rules_only": ("approve", "rules_only", False),
    "test_default": ("approve", "default", False),
    "test_slow": ("approve", "full", True),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, bundle: Path, profile: Profile) -> Iterator[Service]:
    with profile.running(tmp_path_factory.mktemp("sandbox"), bundle, RISKGATE_SANDBOX="1") as one:
        yield one


def check(name: str, answer: dict[str, Any]) -> None:
    assert (answer["decision"], answer["tier"], answer["score"] is not None) == GOT[name]
    assert (answer["test"], answer["receipt_id"]) == (True, None)
    assert bool(answer["reasons"]) == (answer["decision"] != "approve")


@pytest.mark.parametrize("name", GOT)
def test_each_id_gets_just_that_singly_and_again(sandbox: Service, name: str) -> None:
    for query in ("", "?explain=1", "?dry_run=1"):
        began = time.monotonic()
        reply = sandbox.score(payment(f"{name}_17"), query)
        assert reply.status_code == 200
        assert "idempotent-replay" not in reply.headers
        check(name, reply.json())
        if name == "test_slow" and "dry" not in query:
            assert time.monotonic() - began >= SLOW_SECONDS


def test_a_large_amount_gets_what_the_policy_gives_without_a_score(sandbox: Service) -> None:
    answer = sandbox.score(payment("test_default_2", amount_minor=90_000_000)).json()
    assert (answer["decision"], answer["tier"]) == ("challenge", "default")


def test_test_503_is_refused_as_overload_is(sandbox: Service) -> None:
    reply = sandbox.score(payment("test_503"))
    assert (reply.status_code, reply.json()["error"]["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")


def test_a_batch_holds_tests_beside_payments(sandbox: Service) -> None:
    names = [name for name in SCRIPTS if name != "test_slow"]
    many = [payment(name) for name in names] + [payment("sand-1")]
    decisions = sandbox.post("/v1/score/batch", {"payments": many}).json()["decisions"]
    for name, answer in zip(names, decisions, strict=False):
        if name == "test_503":
            assert answer["error"]["code"] == "overloaded"
        else:
            check(name, answer)
    assert "test" not in decisions[-1]
    assert decisions[-1]["receipt_id"]


def test_a_test_touches_nothing(sandbox: Service, profile: Profile) -> None:
    sandbox.score(payment("sand-2", payer_id="u-sandbox"))
    before = profile.written(sandbox)
    counted = decisions_counted(sandbox)
    for name in ("test_decline_3", "test_review_3", "test_approve_3"):
        sandbox.score(payment(name, payer_id="u-sandbox"))
        reports = {
            "/v1/outcomes": {"transaction_id": name, "outcome": "declined", "event_time": payment("x")["event_time"]},
            "/v1/labels": {
                "transaction_id": name, "label": "fraud", "source": "chargeback",
                "reported_at": payment("x")["event_time"],
            },
        }  # fmt: skip
        for path, report in reports.items():
            reply = sandbox.post(path, report)
            assert (reply.status_code, reply.json()["status"], reply.json()["test"]) == (200, "applied", True)
        looks = [sandbox.client.get(f"/v1/{kind}/{name}") for kind in ("receipts", "decisions")]
        assert [one.status_code for one in looks] == [404, 404]
        assert all("sandbox" in one.json()["error"]["message"] for one in looks), "both say the same of a test"
    assert profile.written(sandbox) == before
    assert decisions_counted(sandbox) == counted
    sandbox.score(payment("sand-3", payer_id="u-sandbox"))
    assert sandbox.receipt("sand-3")["receipt"]["seen"][0] == 1


def decisions_counted(service: Service) -> list[str]:
    return [line for line in service.client.get("/metrics").text.splitlines() if line.startswith("riskgate_decisions")]


def test_an_invalid_test_is_refused_like_any_payment(sandbox: Service) -> None:
    assert sandbox.score({"transaction_id": "test_approve"}).status_code == 422


@pytest.mark.parametrize("other", ["test_17", "test_", "a_test_approve", "TEST_APPROVE", "testapprove"])
def test_other_ids_are_ordinary(sandbox: Service, other: str) -> None:
    assert not is_test(other)
    answer = sandbox.score(payment(other)).json()
    assert "test" not in answer
    assert sandbox.receipt(other)["answer"] == answer


def test_without_the_setting_they_are_ordinary_ids(service: Service) -> None:
    answers: list[httpx.Response] = [service.score(payment(f"{name}_x")) for name in SCRIPTS]
    assert all(one.status_code == 200 and "test" not in one.json() and one.json()["receipt_id"] for one in answers)
