"""The body of a batch, its deadline, and how many payments fit."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import Malformed, Refused, RiskgateError
from features.intake.parse import read_json
from serving.api.bodies.batch_body import read_batch
from serving.api.bodies.batch_pace import DEFAULT_BATCH_DEADLINE_MS, BatchPace
from serving.errors import BatchTooLarge
from tests.serving.profiles import every_way
from tests.serving.scoring_world import Service, payment

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="ascii"), max_size=4)
    | st.sampled_from(["payments", "deadline_ms", ":", '"']),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["payments", "deadline_ms", "a"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(values, max_size=4), st.none() | st.integers(1, 10_000), st.booleans(), st.booleans())
def test_a_batch_is_what_its_json_says(payments: list[Any], deadline_ms: int | None, first: bool, null: bool) -> None:
    whole: dict[str, Any] = {"payments": payments}
    if deadline_ms is not None or null:
        whole = {"deadline_ms": deadline_ms, **whole} if first else {**whole, "deadline_ms": deadline_ms}
    batch = read_batch(json.dumps(whole).encode())
    assert [msgspec.json.decode(one) for one in batch.payments] == payments
    assert batch.deadline_ms == (deadline_ms or DEFAULT_BATCH_DEADLINE_MS)


@pytest.mark.parametrize(
    "body",
    [
        b'{"payments":[],"payments":[]}', b'{"deadline_ms":5,"deadline_ms":5,"payments":[]}',
        b'{"deadline_ms":10000,"payments":[{}],"deadline_ms":10000}', b'{"payments":[],"\\u0070ayments":[]}',
        b'{"payments":{}}', b"[]", b"{}", b'{"payments":[],"other":1}', b'{"payments":[],"deadline_ms":0}',
        b'{"payments":[],"deadline_ms":"5"}', b'{"payments":[],"deadline_ms":10001}', b'{"payments":null}',
        b'{"payments":[],"deadline_ms":true}', b'{"payments":[],"deadline_ms":null,"deadline_ms":null}',
        b'{"deadline_ms":null,"payments":[{}],"deadline_ms":5}', json.dumps({"payments": [1] * 1_001}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        read_batch(body)


@pytest.mark.parametrize("body", [b"", b"{", b'{"payments":[}', b'{"payments":[1,]}', b"[" * 100_000])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_batch(body)


@given(st.binary(max_size=30))
def test_any_body_is_a_batch_or_refused(body: bytes) -> None:
    try:
        read_batch(b'{"payments":[' + body + b"]}")
    except RiskgateError:
        return
    with contextlib.suppress(RiskgateError):  # a payment of it is refused when its turn comes
        assert set(read_json(b'{"payments":[' + body + b"]}")) == {"payments"}


def test_the_pace_follows_what_is_measured_and_says_what_fits() -> None:
    pace = BatchPace()
    for _ in range(30):
        pace.learn(1_000, 2_000_000_000)  # 2 ms a payment
    pace.learn(1, 10**12)  # says nothing of the pace
    pace.check(450, 1_000_000_000)
    with pytest.raises(BatchTooLarge) as refused:
        pace.check(451, 1_000_000_000)
    assert "at most 450 payments" in refused.value.repair
    pace.check(1, -5)
    with pytest.raises(BatchTooLarge):
        pace.check(2, -5)


@every_way
class TestTheService:
    def test_a_batch_that_would_miss_its_deadline_decides_nothing_and_says_what_fits(self, service: Service) -> None:
        many = [payment(f"batch-1-{n}") for n in range(1_000)]
        reply = service.post("/v1/score/batch", {"payments": many, "deadline_ms": 10})
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["field"]) == (413, "batch_too_large", "payments")
        fit = int(re.search(r"at most ([0-9]+) payment", error["repair"].replace(",", ""))[1])  # type: ignore[index]
        assert 1 <= fit < 1_000
        assert service.client.get("/v1/receipts/batch-1-0").status_code == 404
        fitting = service.post("/v1/score/batch", {"payments": many[:fit], "deadline_ms": 10_000})
        assert [one["transaction_id"] for one in fitting.json()["decisions"]] == [
            one["transaction_id"] for one in many[:fit]
        ]

    def test_a_batch_of_one_is_decided_whatever_its_deadline(self, service: Service) -> None:
        reply = service.post("/v1/score/batch", {"payments": [payment("batch-2")], "deadline_ms": 1})
        assert reply.json()["decisions"][0]["decision"]

    def test_a_payment_with_a_key_twice_is_an_error_of_its_own(self, service: Service) -> None:
        one, two = json.dumps(payment("batch-3")), json.dumps(payment("batch-3b"))
        body = f'{{"payments": [{one[:-1]}, "rail": "upi"}}, {two}]}}'
        decisions = service.client.post("/v1/score/batch", content=body).json()["decisions"]
        assert decisions[0]["error"]["code"] == "duplicate_key"
        assert decisions[1]["decision"]
