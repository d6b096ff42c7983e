"""What a retry is: the same identity, whatever else differs; another identity is a conflict with what was decided."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving.profiles import both_profiles
from tests.serving.scoring_world import START_MS, Service, payment, rfc3339

pytestmark = both_profiles


def without_warnings(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "warnings"}


def test_the_time_a_caller_waits_is_no_content(service: Service) -> None:
    first = service.score(payment("r-1", deadline_ms=4_000))
    again = service.score(payment("r-1", deadline_ms=3_000))
    assert again.content == first.content
    assert again.headers["idempotent-replay"] == "true"


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": rfc3339(START_MS + 900)},
        {"device_id": "d-other", "ip": None},
        {"channel": "online", "attributes": {"basket_items": 4}},
        {"metadata": {"attempt": 2}},
        {"late": True},
    ],
)
def test_what_is_no_identity_may_differ_and_is_named(service: Service, changes: dict[str, Any]) -> None:
    name = f"r-2-{sorted(changes)}"
    first = service.score(payment(name)).json()
    again = service.score(payment(name, **changes))
    assert again.status_code == 200
    assert without_warnings(again.json()) == without_warnings(first)
    assert [(one["field"], one["code"]) for one in again.json()["warnings"]] == [("transaction_id", "content_differs")]
    assert again.headers["idempotent-replay"] == "true"
    assert service.score(payment(name)).json() == first, "what was recorded stays as it was"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 12_501},
        {"currency": "EUR"},
        {"payer_id": "u-other"},
        {"instrument_id": "vpa-other"},
        {"payee_id": "m-other"},
    ],
)
def test_another_identity_is_a_conflict_that_repeats_the_decision(service: Service, changes: dict[str, Any]) -> None:
    name = f"r-3-{sorted(changes)}"
    first = service.score(payment(name)).json()
    reply = service.score(payment(name, **changes))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["field"]) == (409, "conflict", "transaction_id")
    assert (error["decision"], error["receipt_id"]) == (first["decision"], first["receipt_id"])


def test_spellings_of_one_payment_are_one_identity(service: Service) -> None:
    first = service.score(payment("r-4"))
    again = service.score(payment(" r-4 ", currency="inr", payer_country="in", amount_minor=12_500.0))
    assert again.content == first.content
