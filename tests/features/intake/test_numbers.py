"""Numbers of any length and form, and addresses of any spelling: decided or refused, and alike by both paths."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.catalogue import Attribute, CatalogueParameters, catalogue
from features.domain.payment import Payment
from features.errors import Malformed, Refused, RiskgateError
from features.intake.parse import payment_json, read_json, read_payment, stored_payment
from tests.features.intake.test_parse import VALID, body

CATALOGUE = catalogue(
    CatalogueParameters(attributes=(Attribute("basket_items"), Attribute("sign_in", "categorical", ("otp", "pin"))))
)
LONG = ["1" + "0" * 310, "-1" + "0" * 310, "1" * 5_001, "9" * 60_000, "0." + "1" * 5_001, "1" * 310 + ".0"]
FORMS = ["1e999", "-1e999", "1e" + "9" * 400, "1e-999", "-0", "-0.0", "0e99999", "1e308", "1.8e308", "1e5", "12.0"]
NO_JSON = ["NaN", "Infinity", "-Infinity", "+1", "01", ".5", "5.", "0x10", "1_000", "[" * 500 + "]" * 500]
FIELDS = [*VALID, "attributes.basket_items", "attributes.sign_in", "unknown"]


def sent(field: str, number: str) -> bytes:
    """A payment with a number, written just so, in one place."""
    whole, _, part = field.partition(".")
    mark = {part: "@"} if part else "@"
    return json.dumps({**VALID, whole: mark}).replace('"@"', number).encode()


def read(text: bytes) -> Payment | str:
    try:
        return read_payment(text, CATALOGUE)
    except RiskgateError as error:
        assert error.message or isinstance(error, Refused)
        return type(error).__name__


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("number", [*LONG, *FORMS, *NO_JSON], ids=lambda text: f"{text[:8]}({len(text)})")
def test_a_number_of_any_length_is_a_payment_or_a_refusal_and_alike_by_both_paths(field: str, number: str) -> None:
    quick = read(sent(field, number))
    careful = read(sent(field, number).replace(b"t-81f3", rb"t\u002d81f3"))  # an escape: the careful path
    if not isinstance(quick, str):
        assert stored_payment(payment_json(quick)) == msgspec.structs.replace(quick, warnings=())
    if field != "transaction_id":
        assert quick == careful


@pytest.mark.parametrize("field", ["latitude", "longitude", "attributes.basket_items"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_of_311_digits_is_named_in_its_place(field: str, sign: str) -> None:
    payment = read_payment(sent(field, sign + "1" + "0" * 310), CATALOGUE)
    assert [(one.field, one.code) for one in payment.warnings] == [(field, "out_of_range")]
    assert payment.latitude is None or field != "latitude"


@pytest.mark.parametrize("number", NO_JSON)
def test_what_is_no_number_of_json_is_malformed(number: str) -> None:
    with pytest.raises(Malformed):
        read_json(sent("latitude", number))


integers = st.one_of(st.integers(), st.integers(-400, 400).map(lambda n: (10 ** abs(n)) * (1 if n > 0 else -1)))


@given(st.dictionaries(st.sampled_from(FIELDS[:-1]), st.one_of(integers, st.floats(allow_nan=False))))
def test_no_number_in_any_field_is_an_unforeseen_error(changes: dict[str, Any]) -> None:
    text = json.dumps({**VALID, **changes}).replace("Infinity", "1e999")
    assert isinstance(read(text.encode()), Payment | str)


ADDRESSES = {
    "1.2.3.4": "1.2.3.4", "255.255.255.255": "255.255.255.255", "2001:DB8::1": "2001:db8::1", "fe80::1%eth0": "fe80::1",
    "::ffff:1.2.3.4": "1.2.3.4", " 1.2.3.4": "1.2.3.4", "1.2.3.4\n": "1.2.3.4", "1.2.3.4:80": "1.2.3.4",
    "[::1]": "::1", "[::1]:443": "::1", "[fe80::1%eth0]:80": "fe80::1", "1.2.3.4, 10.0.0.1": "1.2.3.4",
    "fe80::1%": "fe80::1",
    "[::ffff:1.2.3.4]:80": "1.2.3.4",
}  # fmt: skip
NO_ADDRESSES = [
    "1.2.3.4.", "1.2.3.4..", ".1.2.3.4", "1..2.3", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.04", "256.1.1.1",
    "1.2.3.4/32", "1.2 .3.4", "１.2.3.4", "16909060", "0x1.2.3.4", "::1/128", "1::2::3", "::1.2.3.4.", "T1", "[1.2.3.4",
    "1.2.3.4:", "1.2.3.4:123456", ", 1.2.3.4",
]  # fmt: skip


@pytest.mark.parametrize(("spelling", "kept"), ADDRESSES.items())
def test_an_address_has_one_spelling(spelling: str, kept: str) -> None:
    payment = read_payment(body(ip=spelling), CATALOGUE)
    assert (payment.ip, payment.warnings) == (kept, ())


@pytest.mark.parametrize("spelling", NO_ADDRESSES)
def test_what_is_nearly_an_address_is_left_out_and_named(spelling: str) -> None:
    payment = read_payment(body(ip=spelling), CATALOGUE)
    assert payment.ip is None
    assert [(one.field, one.code) for one in payment.warnings] == [("ip", "invalid_ip")]


@pytest.mark.parametrize(
    "spelling", ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "unknown", "-", "null", "[::]", "0.0.0.0, 1.2.3.4"]
)
def test_an_address_that_says_nothing_is_not_sent(spelling: str) -> None:
    payment = read_payment(body(ip=spelling), CATALOGUE)
    assert payment.ip is None
    assert [(one.field, one.code) for one in payment.warnings] == [("ip", "not_sent")]


@given(st.text("0123456789.:af%/ []", max_size=20))
def test_an_address_of_any_text_is_one_of_the_standard_library_and_stays_as_it_is(spelling: str) -> None:
    kept = read_payment(msgspec.json.encode({**VALID, "ip": spelling}), CATALOGUE).ip
    if kept is not None:
        assert str(ipaddress.ip_address(kept)) == kept
        assert read_payment(msgspec.json.encode({**VALID, "ip": kept}), CATALOGUE).ip == kept
