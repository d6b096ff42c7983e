"""Which reports are taken and which are refused, and what a caller is shown of it, over HTTP on both profiles."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving.api.test_feedback import NOW_MS, eventually, label, outcome, status_of
from tests.serving.profiles import Profile, both_profiles, figures
from tests.serving.scoring_world import START_MS, Service, payment

pytestmark = both_profiles

DAY_MS = 86_400_000
CARD = "4111111111111111"

Step = tuple[str, int | None]


def statuses(service: Service, name: str, steps: tuple[Step, ...]) -> list[int]:
    """The status of each outcome of a new payment of 10,000, one millisecond after the other."""
    service.score(payment(name, amount_minor=10_000))
    return [
        outcome(service, name, word, NOW_MS + place, **({} if amount is None else {"amount_minor": amount})).status_code
        for place, (word, amount) in enumerate(steps)
    ]


def name_of(steps: tuple[Step, ...]) -> str:
    return "-".join(f"{word}{'' if amount is None else amount}" for word, amount in steps)


ORDINARY: tuple[tuple[Step, ...], ...] = (
    (("authorised", 10_000), ("voided", 3_000), ("captured", 7_000), ("settled", 7_000), ("refunded", 7_000)),
    (("captured", 4_000), ("voided", 3_000), ("captured", 3_000)),
    (("settled", 7_000), ("voided", 3_000)),
    (("settled", None), ("voided", 3_000)),
    (("captured", 7_000), ("voided", None), ("settled", 7_000)),
    (("captured", None), ("voided", 10_000)),  # a sale that is called off before it is settled
    (("authorised", 10_000), ("captured", 12_500), ("settled", 12_500), ("refunded", 12_500)),
    (("authorised", 10_000), ("authorised", 15_000), ("captured", 25_000), ("reversed", 25_000)),
    (("authorised", 10_000), ("reversed", 3_000), ("captured", 7_000), ("refunded", 7_000)),
    (("captured", None), ("refunded", 4_000), ("reversed", None)),
    (("declined", None), ("reversed", None)),  # the payer was debited although the payment failed
    (("captured", None), ("settled", None), ("chargeback_opened", 10_000), ("chargeback_lost", 10_000)),
)
#: The last step is refused, with this status and these words in its message.
IMPOSSIBLE: tuple[tuple[tuple[Step, ...], int, str], ...] = (
    ((("voided", None), ("captured", 7_000)), 409, "nothing is captured after"),
    ((("voided", 4_000), ("voided", 6_000), ("captured", 1)), 409, "nothing is captured after"),
    ((("captured", 7_000), ("voided", 3_000), ("captured", 3_000)), 409, "all that was left"),
    ((("settled", None), ("voided", None)), 409, "`voided` contradicts `settled`"),
    ((("authorised", None), ("declined", None)), 409, "either authorises a payment or declines it"),
    ((("declined", None), ("voided", None)), 409, "no authorisation that could be given up"),
    ((("declined", None), ("voided", 100)), 409, "no authorisation that could be given up"),
    ((("reversed", None), ("captured", None)), 409, "after the whole payment was taken back"),
    ((("captured", None), ("reversed", 10_000), ("refunded", 1)), 409, "after the whole payment was taken back"),
    ((("reversed", 99_999_999),), 422, "more than the 10000"),
    ((("reversed", 6_000), ("reversed", 6_000)), 422, "together with the 6000"),
    ((("voided", 10_001),), 422, "more than the 10000"),
    ((("settled", 10**12),), 422, "after an authorisation of 10000"),
    ((("captured", 20_001),), 422, "after an authorisation of 10000"),
    ((("captured", 15_000), ("captured", 15_000)), 422, "together with the 15000"),
    ((("authorised", 10**12),), 422, "after an authorisation of 10000"),
    ((("chargeback_opened", 10**12),), 422, "after an authorisation of 10000"),
    ((("voided", 3_000), ("refunded", 7_001)), 422, "more than the 7000"),
    ((("refunded", 500), ("captured", 300)), 422, "less than the 500"),
)


@pytest.mark.parametrize("steps", ORDINARY, ids=name_of)
def test_what_processors_do_is_taken(service: Service, steps: tuple[Step, ...]) -> None:
    assert statuses(service, f"can-{name_of(steps)}", steps) == [200] * len(steps)


@pytest.mark.parametrize(("steps", "status", "says"), IMPOSSIBLE, ids=lambda one: "" if isinstance(one, int) else None)
def test_what_cannot_be_is_refused_with_a_sentence(
    service: Service, steps: tuple[Step, ...], status: int, says: str
) -> None:
    name = f"cannot-{name_of(steps)}"
    assert statuses(service, name, steps) == [200] * (len(steps) - 1) + [status]
    word, amount = steps[-1]
    error = outcome(
        service, name, word, NOW_MS + len(steps), **({} if amount is None else {"amount_minor": amount})
    ).json()["error"]
    assert says in error["message"]
    assert error["field"] == ("outcome" if status == 409 else "amount_minor")
    assert [one["outcome"] for one in status_of(service, name)["outcomes"]] == [word for word, _ in steps[:-1]]


def test_a_status_check_of_a_fuel_pump_is_captured_for_what_was_filled(service: Service) -> None:
    service.score(payment("pump-1", amount_minor=100))
    assert outcome(service, "pump-1", "captured", amount_minor=7_500).status_code == 200
    assert outcome(service, "pump-1", "refunded", amount_minor=7_500).status_code == 200


def test_an_early_capture_that_arrives_late_may_not_be_less_than_the_refund(service: Service) -> None:
    service.score(payment("early-1", amount_minor=1_000))
    assert outcome(service, "early-1", "refunded", amount_minor=500).status_code == 200
    less = outcome(service, "early-1", "captured", NOW_MS - 1_000, amount_minor=300)
    assert (less.status_code, less.json()["error"]["field"]) == (422, "amount_minor")
    assert outcome(service, "early-1", "captured", NOW_MS - 1_000, amount_minor=500).status_code == 200


@pytest.mark.parametrize(("days", "status"), [(0.9, 200), (1.1, 422), (40, 422), (3_000, 422)])
def test_an_outcome_is_dated_a_day_before_its_payment_at_most(service: Service, days: float, status: int) -> None:
    service.score(payment(f"before-{days}"))
    reply = outcome(service, f"before-{days}", "declined", START_MS - int(days * DAY_MS))
    assert reply.status_code == status
    if status == 422:
        assert reply.json()["error"]["field"] == "event_time"


def test_a_decline_happens_once_whatever_its_reason(service: Service) -> None:
    service.score(payment("once-1"))
    assert outcome(service, "once-1", "declined", reason_code="51").status_code == 200
    for more in ({"reason_code": "05"}, {}, {"amount_minor": 100}):
        again = outcome(service, "once-1", "declined", NOW_MS + 5, **more)
        assert again.headers["idempotent-replay"] == "true"
    assert [one["reason_code"] for one in status_of(service, "once-1")["outcomes"]] == ["51"]


def refused_count(service: Service) -> float:
    lines = service.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("riskgate_reports_refused_total "))


def test_a_report_that_its_payment_refuses_is_shown_counted_and_logged(
    profile: Profile, bundle: Any, tmp_path: Any
) -> None:
    with profile.running(tmp_path / "one", bundle) as service:
        for word, more in (("refunded", {"amount_minor": 10**9}), ("settled", {}), ("captured", {"amount_minor": 100})):
            assert outcome(service, "gone-1", word, **more).status_code == 202
        assert outcome(service, "gone-2", "declined", START_MS - 40 * DAY_MS).status_code == 202
        service.score(payment("gone-1", amount_minor=100))
        label(service, "gone-2", "fraud", payment=payment("gone-2"))
        eventually(lambda: refused_count(service) == 2)
        shown = [status_of(service, name)["refused"] for name in ("gone-1", "gone-2")]
        (first,), (second,) = shown
        assert (first["kind"], first["value"], first["amount_minor"]) == ("outcome", "refunded", 10**9)
        assert (first["code"], second["code"]) == ("exceeds_captured", "before_payment")
        assert {one["outcome"] for one in status_of(service, "gone-1")["outcomes"]} == {"settled", "captured"}
        assert "riskgate_reports_waiting 0.0" in service.client.get("/metrics").text
        lines = [line for line in service.log.read_text().splitlines() if "a report that waited" in line]
        assert [sum(name in line for line in lines) for name in ("gone-1", "gone-2")] == [1, 1]
        profile.settle(service)
    with profile.running(tmp_path / "one", bundle) as service:
        assert [status_of(service, name)["refused"] for name in ("gone-1", "gone-2")] == shown
        assert refused_count(service) == 0  # a start does not refuse it again
        retried = outcome(service, "gone-1", "refunded", amount_minor=10**9)
        assert retried.status_code == 422
        profile.settle(service)
    with profile.running(tmp_path / "one", bundle) as service:
        found = figures(service)
    assert (found["mismatches"], found["waiting"], found["undecided"]) == (0, 0, 1)


def test_a_label_names_what_was_changed_in_the_payment_that_it_brings(service: Service) -> None:
    odd = payment("odd-1", instrument_id=CARD, currency="BTC", ip="zz", foo="x")
    scored = service.score(odd | {"transaction_id": "odd-2"}).json()["warnings"]
    before = service.client.get("/metrics").text
    for _ in range(2):
        reply = label(service, "odd-1", "fraud", payment=odd)
        assert reply.status_code == 200
        warnings = reply.json()["warnings"]
        assert [{**one, "field": f"payment.{one['field']}"} for one in scored] == warnings
        assert {one["code"] for one in warnings} >= {"card_number_tokenised", "unknown_currency", "invalid_ip"}
    after = service.client.get("/metrics").text
    line = 'riskgate_warnings_total{code="card_number_tokenised",field="instrument_id"} '
    assert f"{line}1.0" in before and f"{line}3.0" in after
    assert status_of(service, "odd-1")["warnings"] == scored
    assert CARD not in reply.text


def test_a_label_that_waited_and_comes_again_with_its_payment_keeps_the_warnings(
    service: Service, profile: Profile
) -> None:
    assert label(service, "odd-3", "fraud").status_code == 202
    brought = label(service, "odd-3", "fraud", payment=payment("odd-3", ip="zz"))
    assert [one["field"] for one in brought.json()["warnings"]] == ["payment.ip"]
    profile.settle(service)
    assert [one["field"] for one in status_of(service, "odd-3")["warnings"]] == ["ip"]
    assert status_of(service, "odd-3")["effective"] == "fraud"


def test_a_card_number_in_a_report_becomes_its_token_with_a_warning(service: Service) -> None:
    service.score(payment(CARD))
    reply = outcome(service, CARD, "declined", reason_code=f"card {CARD}")
    assert reply.status_code == 200
    warnings = reply.json()["warnings"]
    assert [(one["field"], one["code"]) for one in warnings] == [
        ("transaction_id", "card_number_tokenised"), ("reason_code", "card_number_tokenised"),
    ]  # fmt: skip
    (found,) = status_of(service, CARD)["outcomes"]
    assert found["reason_code"] == f"card {warnings[1]['token']}"
    assert CARD not in reply.text


def test_words_may_have_any_letter_case_and_unknown_fields_are_named(service: Service) -> None:
    service.score(payment("case-1"))
    assert outcome(service, "case-1", "AUTHORISED").json()["recorded"] == "authorised"
    assert outcome(service, "case-1", "authorised").headers["idempotent-replay"] == "true"
    assert label(service, "case-1", "Fraud", "ChargeBack").json()["recorded"] == "fraud"
    found = status_of(service, "case-1")
    assert (found["outcomes"][0]["outcome"], found["label"]["source"]) == ("authorised", "chargeback")
    unknown = outcome(service, "case-1", "captured", currency="EUR", comment="x").json()["error"]
    assert {one["field"] for one in unknown["problems"]} == {"currency", "comment"}
    one = label(service, "case-1", "fraud", comment="x")
    assert (one.status_code, one.json()["error"]["field"]) == (422, "comment")
    hidden = outcome(service, "case-1", "captured", **{CARD: 1})
    assert hidden.status_code == 422 and CARD not in hidden.text
    assert hidden.json()["error"]["field"].startswith("pan_")
