"""Every payment of `payments.json`: singly, in a batch, with and without a hash key, in both profiles."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.api.cases.conftest import HASH_KEY
from tests.serving.profiles import Profile
from tests.serving.scoring_world import Service

pytestmark = [
    pytest.mark.parametrize("profile", ["embedded", "production"], indirect=True, scope="module"),
    pytest.mark.parametrize("hash_key", ["", HASH_KEY], ids=["clear", "hashed"], indirect=True, scope="module"),
]

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("payments.json").read_text())
_number = itertools.count(1)


def base() -> dict[str, Any]:
    return {
        "transaction_id": f"case-{next(_number)}", "event_time": datetime.now(UTC).isoformat(), "amount_minor": 125000,
        "currency": "INR", "rail": "upi", "channel": "qr_static", "payer_id": "u-1042", "instrument_id": "vpa-77ab",
        "payee_id": "m-559",
    }  # fmt: skip


def laid_over(case: dict[str, Any]) -> dict[str, Any]:
    """The payment of a case; an id of the case is used in one reply and then again in the batch: a retry."""
    return base() | case["change"]


def named(case: dict[str, Any]) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", f"{case['kind']}-{json.dumps(case['change'])}")[:60]


def check(case: dict[str, Any], status: int, body: dict[str, Any], *, again: bool = False) -> None:
    expect = case["expect"]
    assert status == expect["status"], body
    if status == 200:
        assert body["decision"] in ("approve", "challenge", "review", "decline")
        found = [{"field": one["field"], "code": one["code"]} for one in body["warnings"]]
        assert [one for one in found if not (again and one["code"] == "content_differs")] == expect["warnings"]
        assert all(one["message"].endswith((".", "!")) for one in body["warnings"])
    else:
        problems = body["error"].get("problems") or [body["error"]]
        assert expect["field"] in [one["field"] for one in problems]
        assert all(one["repair"] for one in problems)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_payment_of_the_cases(service: Service, case: dict[str, Any]) -> None:
    reply: httpx.Response = service.score(laid_over(case))
    check(case, reply.status_code, reply.json())


def test_the_same_payments_in_one_batch(service: Service) -> None:
    reply = service.post("/v1/score/batch", {"payments": [laid_over(case) for case in CASES]})
    assert reply.status_code == 200
    decisions = reply.json()["decisions"]
    assert len(decisions) == len(CASES)
    for case, one in zip(CASES, decisions, strict=True):
        check(case, 422 if "error" in one else 200, one, again=True)


def test_strict_refuses_what_would_only_be_named(service: Service) -> None:
    for case in CASES:
        if case["expect"].get("warnings"):
            reply = service.score(base() | case["change"] | {"transaction_id": f"strict-{next(_number)}"}, "?strict=1")
            if "transaction_id" in case["change"]:
                continue
            assert reply.status_code == 422, case
            error = reply.json()["error"]
            expected = case["expect"]["warnings"][0]
            assert (error["field"], error["code"]) == (expected["field"], expected["code"])


def test_no_clear_card_number_is_left_anywhere(service: Service, profile: Profile) -> None:
    clear = {text for case in CASES for text in case["expect"].get("absent_everywhere", ())}
    assert clear
    profile.settle(service)
    wanted = [text.encode() for text in clear]
    for where, held in profile.held(service):
        assert not [text for text in wanted if text in held], where
    for path in service.var.parent.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [text for text in wanted if text in content], path


def test_every_decision_can_be_reproduced(service: Service, profile: Profile) -> None:
    profile.settle(service)
    done = service.command("verify")
    assert done.returncode == 0, done.stdout + done.stderr
