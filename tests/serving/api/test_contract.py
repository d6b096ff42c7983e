"""The HTTP contract of docs/design.md §3, over a real port, in both profiles."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving.api.docs_page import FILES, file
from tests.serving.profiles import every_way
from tests.serving.scoring_world import BLOCKED, START_MS, Service, payment, rfc3339, suspicious

pytestmark = every_way

ANSWER = {
    "transaction_id", "decision", "score", "reasons", "rules", "tier", "missing", "warnings", "model", "policy",
    "features", "receipt_id",
}  # fmt: skip


def test_an_ordinary_payment_is_approved_without_reasons(service: Service) -> None:
    answer = service.score(payment("c-1")).json()
    assert set(answer) == ANSWER
    assert (answer["decision"], answer["reasons"], answer["tier"], answer["missing"]) == ("approve", [], "full", [])
    assert 0 <= answer["score"] < 0.3
    assert answer["model"] == "risk@1"


def test_a_suspicious_payment_is_not_approved_and_says_why_in_order(service: Service) -> None:
    answer = service.score(suspicious("c-2")).json()
    assert answer["decision"] != "approve"
    assert 1 <= len(answer["reasons"]) <= 4
    shares = [one["contribution"] for one in answer["reasons"] if one["contribution"] is not None]
    assert shares == sorted(shares, reverse=True)
    assert all(share > 0 for share in shares)
    assert all(one["text"].endswith(".") and one["code"] for one in answer["reasons"])


def test_explain_gives_reasons_for_an_approved_payment(service: Service) -> None:
    answer = service.score(payment("c-3"), "?explain=1").json()
    assert answer["decision"] == "approve"
    assert answer["reasons"]


def test_a_dry_run_records_nothing_and_counts_nothing(service: Service) -> None:
    before = service.score(payment("c-4", payer_id="u-dry"), "?dry_run=1").json()
    again = service.score(payment("c-4", payer_id="u-dry"), "?dry_run=1").json()
    assert before == again
    assert before["receipt_id"] is None
    assert service.client.get("/v1/receipts/c-4").status_code == 404
    service.score(payment("c-4b", payer_id="u-dry"))
    assert service.receipt("c-4b")["receipt"]["seen"][0] == 0


def test_the_same_payment_again_is_the_same_answer_and_counts_once(service: Service) -> None:
    first = service.score(payment("c-5", payer_id="u-once"))
    second = service.score(payment("c-5", payer_id="u-once"))
    assert first.content == second.content
    assert "idempotent-replay" not in first.headers
    assert second.headers["idempotent-replay"] == "true"
    service.score(payment("c-5b", payer_id="u-once"))
    assert service.receipt("c-5b")["receipt"]["seen"][0] == 1


def test_the_order_of_keys_does_not_make_other_content(service: Service) -> None:
    fields = payment("c-6")
    service.score(fields)
    assert service.score(dict(reversed(fields.items()))).headers["idempotent-replay"] == "true"


def test_the_same_id_with_other_content_is_a_conflict(service: Service) -> None:
    service.score(payment("c-7"))
    reply = service.score(payment("c-7", amount_minor=1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")


def test_fifty_concurrent_retries_count_once_and_agree(service: Service) -> None:
    fields = payment("c-8", payer_id="u-fifty")
    with ThreadPoolExecutor(50) as pool:
        replies = list(
            pool.map(
                lambda _: httpx.post(f"{service.client.base_url}/v1/score", content=json.dumps(fields), timeout=30),
                range(50),
            )
        )
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert sum("idempotent-replay" not in reply.headers for reply in replies) == 1
    service.score(payment("c-8b", payer_id="u-fifty"))
    assert service.receipt("c-8b")["receipt"]["seen"][0] == 1


def test_a_batch_answers_in_order_and_each_error_stands_alone(service: Service) -> None:
    reply = service.post(
        "/v1/score/batch",
        {"payments": [payment("c-9a"), payment("c-9b", currency=""), payment("c-9a", amount_minor=3), 7]},
    )
    first, second, third, fourth = reply.json()["decisions"]
    assert first["transaction_id"] == "c-9a"
    assert [one["error"]["code"] for one in (second, third, fourth)] == ["invalid_text", "conflict", "wrong_type"]


@pytest.mark.parametrize("body", [{"payments": 1}, [], {"payments": [], "more": 1}, {"payments": [{}] * 1001}])
def test_what_is_no_batch_is_refused_as_a_whole(service: Service, body: object) -> None:
    assert service.post("/v1/score/batch", body).status_code == 422


def test_a_block_list_declines_whatever_the_score_and_says_so(service: Service) -> None:
    answer = service.score(payment("c-10", payer_id=BLOCKED)).json()
    assert answer["decision"] == "decline"
    assert answer["rules"] == ["block_list_payer"]
    assert answer["reasons"][0]["code"] == "BLOCK_LIST"


def test_rules_speak_when_the_score_alone_would_approve(service: Service) -> None:
    for place in range(15):
        service.score(payment(f"c-11-{place}", START_MS + place, payer_id="u-burst"))
    answer = service.score(payment("c-11", START_MS + 100, payer_id="u-burst")).json()
    assert "payer_burst_10m" in answer["rules"]
    assert answer["decision"] != "approve"
    assert any("fifteen" in one["text"] for one in answer["reasons"])


def test_an_outcome_enters_the_features_of_the_next_payment_once(service: Service) -> None:
    service.score(payment("c-12", instrument_id="vpa-outcome"))
    report = {"transaction_id": "c-12", "outcome": "declined", "event_time": rfc3339(START_MS + 900)}
    assert service.post("/v1/outcomes", report).json() == {
        "transaction_id": "c-12", "recorded": "declined", "status": "applied",
    }  # fmt: skip
    assert service.post("/v1/outcomes", report).headers["idempotent-replay"] == "true"
    service.score(payment("c-12b", START_MS + 1_000, instrument_id="vpa-outcome"))
    assert service.receipt("c-12b")["values"]["instrument_declined_count_10m"] == 1


def label(transaction_id: str, word: str = "fraud", at_ms: int = START_MS) -> dict[str, str]:
    return {"transaction_id": transaction_id, "label": word, "source": "chargeback", "reported_at": rfc3339(at_ms)}


def fraud_count(service: Service, transaction_id: str, device: str) -> float:
    service.score(payment(transaction_id, START_MS + 2_000, device_id=device))
    value: float = service.receipt(transaction_id)["values"]["device_fraud_count_30d"]
    return value


def test_a_label_counts_once_and_the_later_one_of_its_source_wins(service: Service) -> None:
    service.score(payment("c-13", device_id="d-labelled"))
    assert service.post("/v1/labels", label("c-13", at_ms=START_MS + 1_000)).status_code == 200
    assert service.post("/v1/labels", label("c-13", at_ms=START_MS + 1_000)).headers["idempotent-replay"] == "true"
    assert fraud_count(service, "c-13b", "d-labelled") == 1
    assert service.post("/v1/labels", label("c-13", "legitimate", START_MS + 500)).status_code == 200
    assert fraud_count(service, "c-13c", "d-labelled") == 0


def test_a_receipt_holds_what_the_decision_was_made_from(service: Service) -> None:
    answer = service.score(suspicious("c-14")).json()
    found = service.receipt("c-14")
    assert found["answer"] == answer
    assert found["payment"]["payee_id"] == "m-7"
    assert len(found["receipt"]["seen"]) == 6
    assert {"bundle", "policy", "features", "code"} <= set(found["receipt"])
    assert found["values"]["amount_reference_minor"] == 2_400_000


def test_live_ready_and_metrics_are_those_of_the_contract(service: Service) -> None:
    assert service.client.get("/livez").json() == {"live": True}
    ready = service.client.get("/readyz").json()
    assert ready["ready"] is True
    assert {"bundle", "state", "ledger", "breakers"} <= set(ready["checks"])
    assert set(ready["checks"].values()) == {"ok"}
    answer = service.score(payment("c-15")).json()
    assert (answer["decision"], answer["tier"]) == ("approve", "full")
    text = service.client.get("/metrics").text
    assert 'riskgate_score_seconds_bucket{decision="approve",le="0.005",tier="full"}' in text
    assert "bentoml" not in text


def test_the_document_shows_exactly_the_contract_and_the_page_loads_nothing_from_elsewhere(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/score", "/v1/score/batch", "/v1/outcomes", "/v1/labels", "/v1/receipts/{transaction_id}",
        "/v1/decisions/{transaction_id}", "/v1/lists/{list}", "/livez", "/readyz", "/metrics",
    }  # fmt: skip
    assert set(document["components"]["schemas"]["Payment"]["properties"]["attributes"]["properties"]) == {
        "basket_items", "sign_in"
    }  # fmt: skip
    page = service.client.get("/docs").text
    loaded = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]*)"', page)
    assert loaded == ["data:,", *(f"/docs/{name}" for name in FILES)]
    for name in FILES:
        assert service.client.get(f"/docs/{name}").content == file(name)[0]
    assert "http" not in page.replace(f"http://127.0.0.1:{service.port}", "").replace("HTTP", "")


def test_paths_and_methods_beside_the_contract_get_the_one_error_shape(service: Service) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/v1/score", 405),
        ("POST", "/livez", 405),
        ("GET", "/schema.json", 404),
    ):
        reply = service.client.request(method, path)
        assert reply.status_code == status
        assert set(reply.json()["error"]) >= {"code", "message", "repair"}
