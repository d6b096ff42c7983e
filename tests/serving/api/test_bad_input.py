"""Whatever is not a valid payment: the one error shape, every problem at once, nothing recorded, never a 500."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.serving.profiles import Profile, every_way
from tests.serving.scoring_world import START_MS, Service, payment

pytestmark = every_way

CARD = "4111111111111111"


BAD_FIELDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("a negative amount", {"amount_minor": -1}, "out_of_range", "amount_minor"),
    ("an amount with a fraction", {"amount_minor": 12.5}, "wrong_type", "amount_minor"),
    ("an amount in quotes", {"amount_minor": "1250"}, "wrong_type", "amount_minor"),
    ("a boolean amount", {"amount_minor": True}, "wrong_type", "amount_minor"),
    ("a naive time", {"event_time": "2026-11-11T00:00:03"}, "naive_time", "event_time"),
    ("no time at all", {"event_time": "yesterday"}, "invalid_time", "event_time"),
    ("an empty identifier", {"payer_id": ""}, "invalid_text", "payer_id"),
    ("a control character", {"payee_id": "m\x00"}, "invalid_text", "payee_id"),
    ("no payer", {"payer_id": None}, "missing", "payer_id"),
    ("a blank currency", {"currency": " "}, "invalid_text", "currency"),
]  # fmt: skip

ODD_FIELDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("an unknown currency", {"currency": "XXX"}, "unknown_currency", "currency"),
    ("an undeclared attribute", {"attributes": {"colour": "red"}}, "undeclared_attribute", "attributes.colour"),
    ("an attribute of another type", {"attributes": {"basket_items": "a"}}, "invalid_value", "attributes.basket_items"),
    ("an unknown rail", {"rail": "cheque"}, "unknown_value", "rail"),
    ("an unknown channel", {"channel": "post"}, "unknown_value", "channel"),
    ("an unknown field", {"colour": "red"}, "unknown_field", "colour"),
    ("an ip that is none", {"ip": "300.1.1.1"}, "invalid_ip", "ip"),
    ("a latitude off the globe", {"latitude": 91.0}, "out_of_range", "latitude"),
    ("a deadline of zero", {"deadline_ms": 0}, "out_of_range", "deadline_ms"),
    ("a payer that is nobody", {"payer_id": "null"}, "not_sent", "payer_id"),
    ("a clear card number", {"instrument_id": CARD}, "card_number_tokenised", "instrument_id"),
    ("a spaced card number in a text", {"payee_id": "card 4111 1111 1111 1111"}, "card_number_tokenised", "payee_id"),
    ("metadata of 100 kB in a batch", {"metadata": {"note": "x" * 100_000}}, "out_of_range", "metadata"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code", "field"), [row[1:] for row in ODD_FIELDS], ids=[row[0] for row in ODD_FIELDS]
)
def test_an_odd_value_costs_no_decision_is_named_and_with_strict_it_is_refused(
    profile: Profile, service: Service, changes: dict[str, Any], code: str, field: str
) -> None:
    name = f"odd-{code}-{field}"
    fields = payment(name, **changes)
    if len(json.dumps(fields)) < 60_000:
        strict = service.score(fields, "?strict=1")
        assert (strict.status_code, strict.json()["error"]["code"]) == (422, code)
        assert strict.json()["error"]["repair"]
    (answer,) = service.post("/v1/score/batch", {"payments": [fields]}).json()["decisions"]
    assert [(one["field"], one["code"]) for one in answer["warnings"]] == [(field, code)]
    assert service.receipt(name)["receipt"]["warnings"] == answer["warnings"]
    assert f'riskgate_warnings_total{{code="{code}"' in service.client.get("/metrics").text


def test_a_payment_of_300_000_fields_is_refused_and_its_neighbours_are_decided(service: Service) -> None:
    many = payment("many") | {f"k{n}": 1 for n in range(20_000)}
    reply = service.post("/v1/score/batch", {"payments": [payment("beside-1"), many, payment("beside-2")]})
    one, two, three = reply.json()["decisions"]
    assert two["error"]["code"] == "too_many_fields"
    assert one["decision"]
    assert three["decision"]


@pytest.mark.parametrize(
    ("changes", "code", "field"), [row[1:] for row in BAD_FIELDS], ids=[row[0] for row in BAD_FIELDS]
)
def test_an_invalid_value_is_422_names_its_place_and_records_nothing(
    profile: Profile, service: Service, changes: dict[str, Any], code: str, field: str | None
) -> None:
    before = profile.written(service)
    reply = service.score(payment("bad", **changes))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error.get("field")) == (422, code, field)
    assert error["message"]
    assert error["repair"]
    assert profile.written(service) == before


def test_all_problems_are_reported_together(service: Service) -> None:
    error = service.score(payment("bad", currency="", amount_minor=-1, rail=7)).json()["error"]
    assert {one["field"] for one in error["problems"]} == {"currency", "amount_minor", "rail"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b"[" * 100_00, 400, "malformed"),
        (b"[]", 422, "wrong_type"),
        (b"null", 422, "wrong_type"),
        (json.dumps(payment("bad")).replace('"amount_minor": 12500', '"amount_minor": NaN').encode(), 400, "malformed"),
        (b'{"payer_id": "a", ' + json.dumps(payment("bad")).encode()[1:], 422, "duplicate_key"),
        (b'{"a": "' + b"x" * 70_000 + b'"}', 413, "too_large"),
    ],
    ids=["empty", "cut", "no text", "deep", "array", "null", "NaN", "a key twice", "too large"],
)  # fmt: skip
def test_a_body_that_is_no_payment_is_refused_in_the_one_shape(
    profile: Profile, service: Service, body: bytes, status: int, code: str
) -> None:
    before = profile.written(service)
    reply = service.client.post("/v1/score", content=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert profile.written(service) == before


#: A whole number that JSON allows, and a float does not hold; and one that Python refuses to read.
ENDLESS = ["1" + "0" * 310, "-1" + "0" * 310, "1" * 5_001, "1e999", "1e" + "9" * 400]


@pytest.mark.parametrize("number", ENDLESS, ids=lambda text: f"{text[:3]}({len(text)})")
@pytest.mark.parametrize("field", ["amount_minor", "payer_id", "event_time"])
def test_a_number_without_end_is_refused_in_a_payment_alone_and_in_a_batch(
    profile: Profile, service: Service, field: str, number: str
) -> None:
    before = profile.written(service)
    fields = payment("bad", **{field: "@"})
    body = json.dumps(fields).replace('"@"', number)
    for query in ("", "?dry_run=1"):
        reply = service.client.post(f"/v1/score{query}", content=body)
        assert reply.status_code in (400, 422)
        assert reply.json()["error"]["message"]
    batch = service.client.post("/v1/score/batch", content=f'{{"payments": [{body}, {number}]}}')
    assert batch.status_code in (200, 400)
    if batch.status_code == 200:
        assert all("error" in one for one in batch.json()["decisions"])
    assert profile.written(service) == before


@pytest.mark.parametrize("number", ENDLESS, ids=lambda text: f"{text[:3]}({len(text)})")
@pytest.mark.parametrize("field", ["latitude", "deadline_ms", "basket_items", "metadata", "device_id", "card"])
def test_a_number_without_end_in_an_optional_field_is_left_out_and_named(
    service: Service, field: str, number: str
) -> None:
    fields = payment("odd", **({"attributes": {field: "@"}} if field == "basket_items" else {field: "@"}))
    reply = service.client.post("/v1/score?dry_run=1", content=json.dumps(fields).replace('"@"', number))
    assert reply.status_code in (200, 400)  # some are beyond what the parser reads
    if reply.status_code == 200:
        assert reply.json()["warnings"]


@pytest.mark.parametrize("path", ["/v1/labels", "/v1/outcomes"])
@pytest.mark.parametrize("number", ENDLESS, ids=lambda text: f"{text[:3]}({len(text)})")
def test_a_number_without_end_is_refused_in_a_report(service: Service, path: str, number: str) -> None:
    for name in ("transaction_id", "outcome", "source", "event_time", "reported_at", "more"):
        assert service.client.post(path, content=f'{{"{name}": {number}}}').status_code in (400, 422)


@pytest.mark.parametrize("path", ["/v1/labels", "/v1/outcomes"])
@pytest.mark.parametrize(
    "body", ["7", "{}", '{"transaction_id": 7, "label": [], "outcome": {}, "reported_at": 1, "event_time": "x"}']
)
def test_an_invalid_report_is_422_with_every_problem(service: Service, path: str, body: str) -> None:
    reply = service.client.post(path, content=body)
    assert reply.status_code == 422
    assert reply.json()["error"]["repair"]


def test_a_switch_that_is_neither_on_nor_off_is_refused(service: Service) -> None:
    reply = service.score(payment("bad"), "?explain=maybe")
    assert (reply.status_code, reply.json()["error"]["field"]) == (422, "explain")


def test_a_card_number_appears_in_no_reply_no_log_and_no_file(service: Service) -> None:
    spoken = [CARD, "4111 1111 1111 1111"]
    for text in spoken:
        replies = [
            service.score(payment("card", instrument_id=text)),
            service.score(payment("card", **{text: 1})),
            service.post(
                "/v1/labels", {"transaction_id": text, "label": "fraud", "source": "review", "reported_at": "x"}
            ),
            service.post("/v1/score/batch", {"payments": [payment(text)]}),
            service.client.get(f"/v1/receipts/{text}"),
        ]
        assert not any(text in reply.text for reply in replies)
    files = [service.log, *(path for path in service.var.rglob("*") if path.is_file())]
    for path in files:
        content = path.read_bytes()
        assert not any(text.encode() in content for text in spoken), path.name


def test_a_time_outside_the_window_is_refused_when_the_clock_is_the_systems(
    profile: Profile, bundle: Path, tmp_path: Path
) -> None:
    with profile.running(tmp_path, bundle, RISKGATE_CLOCK="system") as service:
        before = profile.written(service)  # the promotion, and the lists of the bundle
        reply = service.score(payment("late", START_MS))
        assert (reply.status_code, reply.json()["error"]["code"]) == (422, "time_outside_window")
        assert service.score(payment("late", START_MS), "?dry_run=1").status_code == 422
        now_ms, minute = time.time_ns() // 1_000_000, 60_000
        for sent_late, age_ms, status in (
            (False, 6 * minute, 422),
            (True, 6 * minute, 200),
            (True, 7 * 1_440 * minute - minute, 200),
            (True, 7 * 1_440 * minute + minute, 422),
            (True, -6 * minute, 422),
        ):
            fields = payment("late", now_ms - age_ms, late=sent_late)
            reply = service.score(fields, "?dry_run=1")
            assert reply.status_code == status, (sent_late, age_ms)
            says = "seven days" if age_ms > 0 else "ahead of the service"
            assert status == 200 or says in str(reply.json()["error"])
        assert profile.written(service) == before
