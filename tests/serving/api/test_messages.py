"""Messages of the contract say what is wrong, where, and how to mend it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.serving.profiles import Profile, both_profiles
from tests.serving.scoring_world import Service, payment, rfc3339

pytestmark = both_profiles
CARD = "4111111111111111"


def own(name: str, **changes: Any) -> dict[str, Any]:
    """A payment whose entities no other payment has."""
    return payment(name, payer_id=name, instrument_id=name, payee_id=name, device_id=name) | changes


def problems_of(service: Service, path: str, body: Any) -> list[dict[str, Any]]:
    reply = service.post(path, body)
    assert reply.status_code == 422, reply.text
    error: dict[str, Any] = reply.json()["error"]
    return error.get("problems") or [error]


# -- batches ---------------------------------------------------------------------------------------


def test_an_unknown_key_of_a_batch_is_named(service: Service) -> None:
    body = {"payments": [own("m-1")], "batch_id": "b-1", CARD: 1}
    found = problems_of(service, "/v1/score/batch", body)
    assert [one["field"] for one in found] == ["batch_id", "?"]
    assert "batch_id" in found[0]["message"] and "fewer" not in found[0]["repair"]


def test_every_problem_of_a_batch_is_named(service: Service) -> None:
    found = problems_of(service, "/v1/score/batch", {"payment": [], "deadline_ms": 0})
    assert [one["field"] for one in found] == ["payment", "payments", "deadline_ms"]
    (found,) = problems_of(service, "/v1/score/batch", {"payments": [7] * 1_001})
    assert "1,001" in found["message"] and "fewer" in found["repair"]


def test_a_deadline_of_null_is_not_sent(service: Service) -> None:
    reply = service.post("/v1/score/batch", {"payments": [own("m-2", deadline_ms=None)], "deadline_ms": None})
    assert [one["transaction_id"] for one in reply.json()["decisions"]] == ["m-2"]


# -- query flags ---------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["?dry_run", "?dry_run=", "?dry_run=%20", "?explain=&strict=1"])
@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
def test_a_flag_without_a_value_is_refused_and_records_nothing(service: Service, path: str, query: str) -> None:
    name = f"m-0-{len(path)}-{len(query)}"
    one = own(name)
    reply = service.post(path + query, one if path == "/v1/score" else {"payments": [one]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_flag")
    assert "=true" in reply.json()["error"]["repair"]
    assert service.client.get(f"/v1/receipts/{name}").status_code == 404
    assert service.score(one, "?dry_run=False&explain=TRUE&strict=true").json()["reasons"]
    assert service.client.get(f"/v1/receipts/{name}").status_code == 200


# -- retries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"amount_minor": 12_501}, {"payee_id": "m-x"}, {"currency": "EUR", "payer_id": "u-x", "channel": "online"}],
)
def test_a_conflict_names_the_fields_of_the_identity_that_differ(service: Service, changes: dict[str, Any]) -> None:
    name = f"m-3-{'-'.join(changes)}"
    service.score(own(name))
    error = service.score(own(name, **changes)).json()["error"]
    assert error["code"] == "conflict"
    differ = [one for one in changes if one != "channel"]
    assert f"another {' and '.join(sorted(differ))}." in error["message"]


def test_a_retry_with_other_content_gets_the_names_of_what_differs_where_both_are_at_hand(
    service: Service, profile: Profile
) -> None:
    service.score(own("m-4"))
    (warning,) = service.score(own("m-4", channel="online", metadata={"try": 2})).json()["warnings"]
    assert ("channel and metadata" in warning["message"]) is (profile.name == "embedded"), "Redis keeps digests"


def test_a_late_payment_of_the_future_is_not_sent_to_the_imports(
    profile: Profile, bundle: Path, tmp_path: Path
) -> None:
    ahead = rfc3339(time.time_ns() // 1_000_000 + 400_000)
    behind = rfc3339(time.time_ns() // 1_000_000 - 8 * 86_400_000)
    with profile.running(tmp_path, bundle, RISKGATE_CLOCK="system") as present:
        for late in (True, False):
            error = present.score(own("m-5", event_time=ahead, late=late)).json()["error"]
            assert error["code"] == "time_outside_window" and "ahead" in error["message"]
            assert "import" not in error["repair"] and "late" not in error["repair"]
        assert "import" in present.score(own("m-5", event_time=behind, late=True)).json()["error"]["repair"]


# -- payments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message", "repair"),
    [
        ({"payer_id": "  "}, "blank", "Send payer_id"),
        ({"payer_id": "x" * 129}, "129", "Shorten"),
        ({"payer_id": "a\nb"}, "printed", "Remove"),
        ({"transaction_id": {"id": 1}}, "object", "one text"),
        ({"payee_id": [1]}, "array", "one text"),
    ],
)
def test_a_text_that_is_not_valid_gets_the_repair_of_its_own_fault(
    service: Service, changes: dict[str, Any], message: str, repair: str
) -> None:
    (found,) = problems_of(service, "/v1/score", own("m-6", **changes))
    assert message in found["message"] and repair in found["repair"]


def test_metadata_says_which_bound_it_exceeds(service: Service) -> None:
    for sent, says, not_says in (
        ({f"k{place}": place for place in range(21)}, "21 values", "bytes"),
        ({"k": "x" * 2_100}, "2,048 bytes", "20"),
    ):
        (warning,) = service.score(own(f"m-7-{says}", metadata=sent)).json()["warnings"]
        assert says in warning["message"] and not_says not in warning["message"]


LEAKS: list[tuple[str, dict[str, Any]]] = [
    ("comment", {"comment": f"paid with {CARD}"}), ("comment", {"comment": {"deep": [{"pan": int(CARD)}]}}),
    ("attributes.pan", {"attributes": {"pan": CARD}}), ("card.pan", {"card": {"pan": CARD}}),
    ("metadata", {"metadata": [CARD]}), ("latitude", {"latitude": CARD}), ("metadata.k", {"metadata": {"k": [CARD]}}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "changes"), LEAKS, ids=[str(one) for one in range(len(LEAKS))])
def test_a_card_number_in_what_is_not_kept_is_named(service: Service, field: str, changes: dict[str, Any]) -> None:
    for query in ("", "?strict=1"):
        reply = service.score(own(f"m-8-{field}-{len(str(changes))}", **changes), query)
        (found,) = reply.json()["warnings"] if not query else [reply.json()["error"]]
        assert found["field"] == field and "card number" in found["message"] and CARD not in reply.text
    (harmless,) = service.score(own("m-9", comment="paid with 4111")).json()["warnings"]
    assert "card number" not in harmless["message"]


def test_a_strict_refusal_does_not_say_that_something_was_done(service: Service) -> None:
    sent = own(
        "m-10", instrument_id=CARD, rail="barter", comment=1, mcc="x", latitude=99, ip="x", card={"avs": "?"},
        attributes={"none": 1}, metadata=[], payer_id="unknown", currency="XTS", payee_country="ZZ", late="?",
    )  # fmt: skip
    warnings = service.score(sent).json()["warnings"]
    reply = service.score({**sent, "transaction_id": "m-11"}, "?strict=1")
    found = reply.json()["error"]["problems"]
    assert (reply.status_code, len(found)) == (422, len(warnings))
    for warning, problem in zip(warnings, found, strict=True):
        assert (warning["field"], warning["code"]) == (problem["field"], problem["code"])
        assert warning["message"].startswith(problem["message"].rstrip(".") + ": ")
    text = " ".join(one["message"] for one in found)
    assert not any(word in text for word in ("replaced", "left out", "kept", "counts as", "decided", "not sent"))
    assert service.client.get("/v1/receipts/m-11").status_code == 404


def test_what_a_payment_is_not_gets_one_sentence(service: Service) -> None:
    (found,) = problems_of(service, "/v1/score", [])
    assert (found["code"], "array" in found["message"]) == ("wrong_type", True)
    for literal in ("NaN", "Infinity", "-Infinity"):
        reply = service.client.post("/v1/score", content=f'{{"amount_minor": {literal}}}')
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "malformed")


# -- words -----------------------------------------------------------------------------------------


def test_codes_of_the_card_networks_and_spellings_of_words_are_read(service: Service) -> None:
    card = {"three_ds": {"result": "Y"}, "avs": "Y", "cvv": "M", "entry_mode": "05", "funding": "charge"}
    for name, query in (("m-13", ""), ("m-14", "?strict=1")):
        reply = service.score(own(name, rail="SEPA Instant", channel="in-app", card=card), query)
        assert (reply.status_code, reply.json()["warnings"]) == (200, [])
        kept = service.receipt(name)["payment"]
        assert (kept["rail"], kept["channel"]) == ("sepa_instant", "in_app")
        assert kept["card"] == {
            "three_ds": {"result": "authenticated"}, "avs": "match", "cvv": "match", "entry_mode": "chip",
            "funding": "credit",
        }  # fmt: skip


def test_warnings_about_words_name_the_accepted_ones(service: Service) -> None:
    sent = own("m-15", rail="barter", card={"three_ds": {"result": "C"}, "entry_mode": "99"})
    found = {one["field"]: one["message"] for one in service.score(sent).json()["warnings"]}
    assert "sepa_instant" in found["rail"] and "authenticated" in found["card.three_ds.result"]
    assert "contactless" in found["card.entry_mode"]
