"""An invalid payment is refused with all its problems together; both paths read a valid one alike."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue.catalogue import Attribute, CatalogueParameters, catalogue
from features.domain.payment import CHANNELS, RAILS
from features.errors import Malformed, Refused
from features.intake import parse
from features.intake.parse import payment_from, payment_json, read_payment, stored_payment

CATALOGUE = catalogue(
    CatalogueParameters(attributes=(Attribute("basket_items"), Attribute("sign_in", "categorical", ("otp", "pin"))))
)
CARD = "4111111111111111"  # the schemes' well-known test number
VALID: dict[str, Any] = {
    "transaction_id": "t-81f3", "event_time": "2026-11-11T00:00:03.120Z", "amount_minor": 125000, "currency": "INR",
    "rail": "upi", "channel": "qr_static", "payer_id": "u-1042", "instrument_id": "vpa-77ab", "payee_id": "m-559",
    "device_id": "d-9c1", "ip": "203.0.113.9", "mcc": "5411", "payer_country": "IN", "payee_country": "IN",
    "latitude": 12.97, "longitude": 77.59, "attributes": {"basket_items": 3, "sign_in": "otp"}, "deadline_ms": 80,
}  # fmt: skip


def body(**changes: Any) -> bytes:
    return msgspec.json.encode({**VALID, **changes})


def test_a_valid_payment_keeps_every_field_and_its_canonical_bytes_bring_it_back() -> None:
    payment = read_payment(body(), CATALOGUE)
    assert payment.event_time_ms == 1794355203120
    assert payment.attributes == {"basket_items": 3.0, "sign_in": "otp"}
    assert stored_payment(payment_json(payment)) == payment


def test_the_same_moment_in_another_offset_is_the_same_payment() -> None:
    assert read_payment(body(event_time="2026-11-11T05:30:03.120+05:30"), CATALOGUE) == read_payment(body(), CATALOGUE)


def test_one_address_has_one_spelling() -> None:
    assert read_payment(body(ip="2001:DB8:0::1"), CATALOGUE).ip == "2001:db8::1"


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"amount_minor": -1}, "amount_minor", "out_of_range"),
        ({"amount_minor": 12.5}, "amount_minor", "wrong_type"),
        ({"amount_minor": "125000"}, "amount_minor", "wrong_type"),
        ({"amount_minor": True}, "amount_minor", "wrong_type"),
        ({"amount_minor": 10**15}, "amount_minor", "out_of_range"),
        ({"event_time": "2026-11-11T00:00:03"}, "event_time", "naive_time"),
        ({"event_time": "yesterday"}, "event_time", "invalid_time"),
        ({"event_time": 1794355203}, "event_time", "wrong_type"),
        ({"event_time": "1970-01-01T00:00:00Z"}, "event_time", "out_of_range"),
        ({"currency": ""}, "currency", "invalid_text"),
        ({"currency": 356}, "currency", "wrong_type"),
        ({"rail": None}, "rail", "missing"),
        ({"channel": " "}, "channel", "invalid_text"),
        ({"payer_id": ""}, "payer_id", "invalid_text"),
        ({"payer_id": "a\x1fb"}, "payer_id", "invalid_text"),
        ({"payer_id": "x" * 129}, "payer_id", "invalid_text"),
        ({"payer_id": None}, "payer_id", "missing"),
        ({"payer_id": 1042}, "payer_id", "wrong_type"),
    ],
)
def test_an_invalid_core_is_named_with_its_field_and_a_repair(changes: dict[str, Any], field: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        read_payment(body(**changes), CATALOGUE)
    assert [(p.field, p.code) for p in caught.value.problems] == [(field, code)]
    assert all(p.repair.endswith((".", ")")) for p in caught.value.problems)


@pytest.mark.parametrize(
    "changes",
    [
        {"payee_id": f"card {CARD}"},
        {"payee_id": "4111 1111 1111 1111"},
        {"attributes": {"sign_in": CARD}},
        {"metadata": {"note": CARD}},
    ],
)
def test_without_tokens_a_card_number_is_refused_and_not_repeated(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        read_payment(body(**changes), CATALOGUE)
    assert [p.code for p in caught.value.problems] == ["clear_card_number"]
    assert CARD not in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Refused) as caught:
        read_payment(b'{"amount_minor": -1, "currency": "???", "event_time": "2026-11-11T00:00:00"}', CATALOGUE)
    assert len(caught.value.problems) == 6 + 2  # six are missing; the currency is no problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        '{"amount_minor": NaN}',
        '{"a": Infinity}',
        "\ud800".encode("utf-8", "surrogatepass"),
        "[" * 100_000,
    ],
)
def test_what_is_no_json_is_malformed(text: str | bytes) -> None:
    with pytest.raises(Malformed):
        read_payment(text.encode() if isinstance(text, str) else text, CATALOGUE)


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read_payment(text.encode(), CATALOGUE)


def test_a_key_sent_twice_is_refused_even_when_it_is_escaped() -> None:
    for second in ('"payer_id"', '"payer\\u005fid"'):
        with pytest.raises(Refused) as caught:
            read_payment(body().replace(b'"payer_id"', f'{second}:"u-2","payer_id"'.encode(), 1), CATALOGUE)
        assert [(p.field, p.code) for p in caught.value.problems] == [("payer_id", "duplicate_key")]


def test_an_escaped_card_number_is_found() -> None:
    hidden = "".join(f"\\u{ord(c):04x}" for c in CARD)
    with pytest.raises(Refused, match="clear card number"):
        read_payment(body().replace(b"u-1042", hidden.encode()), CATALOGUE)


_values = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**13), 10**13), st.floats(-1e9, 1e9), st.text(max_size=20),
    st.sampled_from([*RAILS, *CHANNELS, "INR", "usd", "IN", "uk", "NA", "5411", "742", "10.0.0.1", "::1", "0.0.0.0"]),
    st.sampled_from(["2026-11-11T00:00:00Z", CARD, "unknown", "N/A", "0000", " x ", "12.5", "Jose\u0301", "-", "a\nb"]),
    st.dictionaries(
        st.sampled_from(["basket_items", "sign_in", "x", "bin", "eci", "funding"]),
        st.integers(0, 9) | st.text(max_size=5),
    ),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*VALID, "late", "metadata", "card", "other"]), _values, max_size=4))
@settings(max_examples=400)
def test_the_fast_path_and_the_careful_path_agree(changes: dict[str, Any]) -> None:
    raw = {**VALID, **changes}
    try:
        careful = payment_from(raw, CATALOGUE)
    except Refused as refused:
        with pytest.raises(Refused) as caught:
            read_payment(msgspec.json.encode(raw), CATALOGUE)
        assert caught.value.problems == refused.problems
    else:
        payment = read_payment(msgspec.json.encode(raw), CATALOGUE)
        assert payment == careful
        assert math.isfinite(payment.amount_minor)
        assert stored_payment(payment_json(payment)) == msgspec.structs.replace(payment, warnings=())


_REQUIRED = tuple(VALID)[:9]
_OPTIONAL = tuple(VALID)[9:]


@given(
    sent=st.sets(st.sampled_from(_OPTIONAL)),
    again=st.lists(st.sampled_from([*VALID, "basket_items"]), max_size=2),
    nothing=st.sets(st.sampled_from(["device_id", "ip", "mcc", "latitude"])),
    spaces=st.booleans(),
)
def test_counting_quotation_marks_never_overlooks_a_key_that_stands_twice(
    sent: set[str], again: list[str], nothing: set[str], spaces: bool
) -> None:
    fields = [(name, VALID[name]) for name in (*_REQUIRED, *sorted(sent))]
    fields += [(name, VALID[name]) for name in again if name in VALID]
    fields += [(name, None) for name in sorted(nothing - sent - {*again})]
    if "basket_items" in again:
        fields.append(("basket_items", 3))
    names = [name for name, _ in fields]
    colon = " : " if spaces else ":"
    text = ",".join(f'"{name}"{colon}{msgspec.json.encode(value).decode()}' for name, value in fields).join("{}")
    try:
        wire = msgspec.json.decode(text, type=parse.Wire)
    except msgspec.ValidationError:  # a name that is none of ours
        return
    once = parse._says_all_once(wire, text.encode())
    assert not (once and len(names) != len(set(names)))
    if not nothing and not spaces and len(names) == len(set(names)):
        assert once, "what callers send is read the quick way"


def test_an_attribute_named_like_a_field_hides_no_key_that_stands_twice() -> None:
    there = catalogue(CatalogueParameters(attributes=(Attribute("deadline_ms"),)))
    fields = msgspec.json.encode({name: VALID[name] for name in _REQUIRED}).decode()[:-1]
    read_payment((fields + ',"latitude":2,"longitude":3,"attributes":{"deadline_ms":5}}').encode(), there)
    with pytest.raises(Refused) as caught:
        read_payment(
            (fields + ',"latitude":1,"latitude":2,"longitude":3,"attributes":{"deadline_ms":5}}').encode(), there
        )
    assert [(p.field, p.code) for p in caught.value.problems] == [("latitude", "duplicate_key")]


def test_a_value_that_reads_like_a_key_hides_none() -> None:
    text = body(payer_id="deadline_ms", deadline_ms=80)[:-1] + b',"mcc":"5411"}'
    with pytest.raises(Refused) as caught:
        read_payment(text, CATALOGUE)
    assert [(p.field, p.code) for p in caught.value.problems] == [("mcc", "duplicate_key")]
