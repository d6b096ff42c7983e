"""Outcomes, labels and the status of a payment, over HTTP on both profiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serving.profiles import Profile, both_profiles, figures
from tests.serving.scoring_world import START_MS, Service, payment, rfc3339, suspicious

pytestmark = both_profiles

NOW_MS = START_MS + 60_000


def status_of(service: Service, name: str) -> dict[str, Any]:
    reply = service.client.get(f"/v1/decisions/{name}")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def label(
    service: Service, name: str, word: str, source: str = "chargeback", at_ms: int = NOW_MS, **more: Any
) -> httpx.Response:
    report = {"transaction_id": name, "label": word, "source": source, "reported_at": rfc3339(at_ms), **more}
    return service.post("/v1/labels", report)


def outcome(service: Service, name: str, word: str, at_ms: int = NOW_MS, **more: Any) -> httpx.Response:
    return service.post("/v1/outcomes", {
        "transaction_id": name, "outcome": word, "event_time": rfc3339(at_ms), **more,
    })  # fmt: skip


def eventually(holds: Callable[[], bool]) -> None:
    last = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.02)


def known_frauds(service: Service, device: str) -> Any:
    """The fraud count of a device, as a payment that is not recorded sees it."""
    name = f"probe-{time.time_ns()}"
    service.score(payment(name, START_MS + 120_000, device_id=device))
    return service.receipt(name)["values"]["device_fraud_count_30d"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount_minor", "12"), ("amount_minor", -1), ("amount_minor", 1.5), ("amount_minor", True), ("reason_code", 4)],
)
def test_a_wrong_part_of_an_outcome_is_refused_and_a_blank_one_is_not_sent(
    service: Service, field: str, value: Any
) -> None:
    service.score(payment("wrong-part"))
    refused = outcome(service, "wrong-part", "captured", **{field: value})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, field)
    assert outcome(service, "wrong-part", "captured", **{field: ""}).status_code == 200


def test_the_status_shows_the_decision_at_once_and_after_it_is_recorded(service: Service, profile: Profile) -> None:
    answer = service.score(suspicious("status-1")).json()
    for _ in range(2):
        found = status_of(service, "status-1")
        assert found["transaction_id"] == "status-1"
        for name in ("decision", "score", "tier", "model", "policy", "receipt_id"):
            assert found[name] == answer[name]
        assert (found["outcomes"], found["label"], found["effective"]) == ([], None, None)
        opened = answer["decision"] in ("review", "decline")
        assert opened
        assert found["case"] == {"state": "open", "verdict": None, "verdict_at": None}
        profile.settle(service)
    service.score(payment("status-2"))
    assert status_of(service, "status-2")["case"] is None
    assert service.client.get("/v1/decisions/%20status-2").json() == status_of(service, "status-2")
    reply = service.client.get("/v1/decisions/status-unknown")
    assert (reply.status_code, reply.json()["error"]["field"]) == (404, "transaction_id")


def test_the_source_that_ranks_highest_is_in_force_whichever_date_it_states(service: Service) -> None:
    service.score(payment("rank-1", device_id="d-rank"))
    first = label(service, "rank-1", "legitimate", "customer_report").json()
    assert first == {
        "transaction_id": "rank-1", "recorded": "legitimate", "status": "applied", "effective": "legitimate",
        "warnings": [],
    }  # fmt: skip
    charged = label(service, "rank-1", "fraud", at_ms=NOW_MS - 86_400_000)
    assert (charged.status_code, charged.json()["status"], charged.json()["effective"]) == (200, "applied", "fraud")
    assert known_frauds(service, "d-rank") == 1
    lower = label(service, "rank-1", "legitimate", "network_alert", NOW_MS + 1_000).json()
    assert (lower["status"], lower["effective"]) == ("outranked", "fraud")
    again = label(service, "rank-1", "fraud", at_ms=NOW_MS - 86_400_000)
    assert again.headers["idempotent-replay"] == "true"
    assert status_of(service, "rank-1")["label"]["source"] == "chargeback"
    withdrawn = label(service, "rank-1", "retracted").json()
    assert (withdrawn["status"], withdrawn["effective"]) == ("applied", "legitimate")
    assert known_frauds(service, "d-rank") == 0
    for source in ("network_alert", "customer_report"):
        label(service, "rank-1", "retracted", source, NOW_MS + 2_000)
    found = status_of(service, "rank-1")
    assert (found["effective"], found["label"]) == (None, None)


def test_a_label_waits_for_its_payment_and_then_counts(service: Service) -> None:
    early = label(service, "wait-1", "fraud")
    assert early.status_code == 202
    assert early.json() == {
        "transaction_id": "wait-1", "recorded": "fraud", "status": "waiting", "effective": None, "warnings": [],
    }  # fmt: skip
    assert label(service, "wait-1", "fraud").headers["idempotent-replay"] == "true"
    assert outcome(service, "wait-1", "authorised").json()["status"] == "waiting"
    missing = service.client.get("/v1/decisions/wait-1")
    assert missing.status_code == 404
    assert "wait for its payment" in missing.json()["error"]["message"]
    answer = service.score(payment("wait-1", device_id="d-wait")).json()
    found = status_of(service, "wait-1")
    assert (found["effective"], found["decision"]) == ("fraud", answer["decision"])
    assert [one["outcome"] for one in found["outcomes"]] == ["authorised"]
    assert label(service, "wait-1", "fraud").headers["idempotent-replay"] == "true"
    eventually(lambda: "riskgate_reports_waiting 0.0" in service.client.get("/metrics").text)
    assert known_frauds(service, "d-wait") == 1


def test_a_label_may_bring_its_payment_which_is_never_decided(service: Service) -> None:
    brought = payment("brought-1", START_MS - 3_600_000, device_id="d-brought")
    other = label(service, "brought-2", "fraud", payment=brought)
    assert (other.status_code, other.json()["error"]["field"]) == (422, "payment.transaction_id")
    broken = label(service, "brought-1", "fraud", payment=brought | {"amount_minor": -1})
    assert (broken.status_code, broken.json()["error"]["field"]) == (422, "payment.amount_minor")
    assert outcome(service, "brought-1", "declined").status_code == 202
    taken = label(service, "brought-1", "fraud", payment=brought)
    assert (taken.status_code, taken.json()["status"], taken.json()["effective"]) == (200, "applied", "fraud")
    found = status_of(service, "brought-1")
    assert (found["decision"], found["receipt_id"], found["case"]) == (None, None, None)
    assert [one["outcome"] for one in found["outcomes"]] == ["declined"]
    assert service.client.get("/v1/receipts/brought-1").status_code == 404
    scored = service.post("/v1/score", brought)
    assert (scored.status_code, scored.json()["error"]["field"]) == (409, "transaction_id")
    assert known_frauds(service, "d-brought") == 1
    assert label(service, "brought-1", "fraud", payment=brought).headers["idempotent-replay"] == "true"


def test_refunds_come_in_parts_and_never_exceed_what_was_captured(service: Service) -> None:
    service.score(payment("parts-1", amount_minor=1_000))
    assert outcome(service, "parts-1", "refunded", amount_minor=200).status_code == 200  # an early one is kept
    assert outcome(service, "parts-1", "captured", NOW_MS - 1_000).status_code == 200
    for at_ms in (NOW_MS + 1, NOW_MS + 2):
        reply = outcome(service, "parts-1", "refunded", at_ms, amount_minor=300)
        assert (reply.status_code, "idempotent-replay" in reply.headers) == (200, False)
    same = outcome(service, "parts-1", "refunded", NOW_MS + 2, amount_minor=300)
    assert same.headers["idempotent-replay"] == "true"
    more = outcome(service, "parts-1", "refunded", NOW_MS + 3, amount_minor=201)
    assert (more.status_code, more.json()["error"]["field"]) == (422, "amount_minor")
    assert outcome(service, "parts-1", "refunded", NOW_MS + 3, amount_minor=200).status_code == 200
    found = [(one["outcome"], one["amount_minor"]) for one in status_of(service, "parts-1")["outcomes"]]
    assert found == [("captured", None), ("refunded", 200), ("refunded", 300), ("refunded", 300), ("refunded", 200)]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("declined", "settled"), 409), (("declined", "authorised"), 409), (("captured", "declined"), 409),
        (("voided", "settled"), 409), (("voided", "captured"), 409), (("chargeback_won", "chargeback_lost"), 409),
        (("declined", "reversed"), 200), (("settled", "chargeback_opened", "chargeback_lost"), 200),
        (("captured", "voided", "settled", "refunded"), 200),
        (("chargeback_opened", "chargeback_won", "chargeback_opened", "chargeback_lost"), 200),
    ],
)  # fmt: skip
def test_only_final_states_that_exclude_each_other_conflict(
    service: Service, words: tuple[str, ...], status: int
) -> None:
    name = f"final-{'-'.join(words)}"
    service.score(payment(name))
    statuses = [
        outcome(service, name, one, NOW_MS + place, reason_code="x").status_code for place, one in enumerate(words)
    ]
    assert statuses == [200] * (len(words) - 1) + [status]
    kept = words if status == 200 else words[:-1]
    assert [one["outcome"] for one in status_of(service, name)["outcomes"]] == list(kept)


def test_what_is_from_the_future_or_from_the_desk_is_refused(service: Service) -> None:
    service.score(payment("future-1"))
    ahead = int(time.time() * 1000) + 400_000 + max(0, START_MS + 200_000 - int(time.time() * 1000))
    late = label(service, "future-1", "fraud", at_ms=ahead)
    assert (late.status_code, late.json()["error"]["field"]) == (422, "reported_at")
    late = outcome(service, "future-1", "authorised", ahead)
    assert (late.status_code, late.json()["error"]["field"]) == (422, "event_time")
    verdict = label(service, "future-1", "fraud", "review")
    assert (verdict.status_code, verdict.json()["error"]["field"]) == (422, "source")
    assert status_of(service, "future-1")["effective"] is None


def test_two_reports_in_one_millisecond_are_both_kept_in_order_of_arrival(service: Service) -> None:
    service.score(payment("ms-1"))
    assert label(service, "ms-1", "fraud").json()["effective"] == "fraud"
    assert label(service, "ms-1", "legitimate").json()["effective"] == "legitimate"
    for word in ("authorised", "captured"):
        assert outcome(service, "ms-1", word).status_code == 200
    assert [one["outcome"] for one in status_of(service, "ms-1")["outcomes"]] == ["authorised", "captured"]


def test_what_waits_survives_a_restart_and_every_decision_verifies(
    profile: Profile, bundle: Any, tmp_path: Any
) -> None:
    with profile.running(tmp_path / "one", bundle) as service:
        service.score(payment("stay-0"))
        label(service, "stay-1", "fraud")
        label(service, "stay-2", "fraud")
        service.score(payment("stay-2", device_id="d-stay"))
        label(service, "stay-3", "legitimate", payment=payment("stay-3"))
        assert status_of(service, "stay-2")["effective"] == "fraud"
        profile.settle(service)
    with profile.running(tmp_path / "one", bundle) as service:
        assert label(service, "stay-1", "fraud").headers["idempotent-replay"] == "true"
        service.score(payment("stay-1", device_id="d-stay"))
        assert status_of(service, "stay-1")["effective"] == "fraud"
        assert known_frauds(service, "d-stay") == 2
        label(service, "stay-4", "fraud")
        profile.settle(service)
        found = figures(service)
    assert (found["mismatches"], found["undecided"], found["waiting"]) == (0, 1, 1)
    assert found["payments"] == 4
