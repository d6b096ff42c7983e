"""`traceparent` as W3C Trace Context defines it, and which ids of requests are echoed."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.intake.card_numbers import holds_card_number
from serving.tracing.request_trace import request_trace, trace_of_headers
from serving.tracing.server_timing import server_timing
from serving.tracing.trace_context import trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01".encode()

hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32).filter(lambda one: one.strip("0") != "")


@given(hexadecimal, st.text("0123456789abcdef", min_size=16, max_size=16), st.integers(0, 255))
def test_the_trace_goes_on_with_a_span_of_our_own(trace_id: str, parent: str, flags: int) -> None:
    trace = trace_of(f"00-{trace_id}-{parent}-{flags:02x}".encode())
    if parent.strip("0") == "":
        assert trace is None
        return
    assert trace is not None
    assert (trace.trace_id, trace.flags) == (trace_id, flags & 3)
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)
    assert trace.span_id not in (parent, "0" * 16)
    assert trace_of(trace.value()) is not None


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"00", VALID.upper(), VALID[:-1], VALID + b"1", VALID + b"-more", VALID.replace(b"00-", b"ff-", 1),
        VALID.replace(TRACE.encode(), b"0" * 32), VALID.replace(SPAN.encode(), b"0" * 16), VALID.replace(b"-", b"_"),
        VALID.replace(b"4bf", b"\xe4bf"), VALID + b"," + VALID,
    ],
)  # fmt: skip
def test_what_is_not_valid_is_ignored(sent: bytes) -> None:
    assert trace_of(sent) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    for sent in (VALID.replace(b"00-", b"01-", 1), VALID.replace(b"00-", b"cc-", 1) + b"-what-comes"):
        trace = trace_of(sent)
        assert trace is not None
        assert trace.value().startswith(b"00-")
    assert trace_of(VALID.replace(b"00-", b"cc-", 1) + b".x") is None


@given(st.binary(max_size=140))
def test_an_id_is_echoed_if_it_is_visible_ascii_and_holds_no_card_number(sent: bytes) -> None:
    given_, text = request_trace(sent, None).request_id, sent.strip(b" \t").decode("latin-1")
    assert re.fullmatch(r"[!-~]{1,128}", given_)
    if re.fullmatch(r"[!-~]{1,128}", text) and not holds_card_number(text):
        assert given_ == text
    else:
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", given_)


@pytest.mark.parametrize("sent", [b"4111111111111111", b"a%34111111111111111", b"4111-1111-1111-1111", b"x" * 129, b""])
def test_other_ids_are_replaced(sent: bytes) -> None:
    assert len(request_trace(sent, None).request_id) == 26


def test_a_header_that_stands_twice_counts_as_not_sent() -> None:
    one = trace_of_headers([(b"x-request-id", b"a"), (b"traceparent", VALID)])
    assert (one.request_id, one.trace_id) == ("a", TRACE)
    two = trace_of_headers([(b"x-request-id", b"a"), (b"traceparent", VALID)] * 2)
    assert (len(two.request_id), two.trace_id) == (26, None)


def test_every_header_line_ends() -> None:
    lines = request_trace(b"a", VALID).lines()
    assert lines.startswith(b"x-request-id: a\r\ntraceparent: 00-")
    assert lines.endswith(b"-01\r\n")
    assert server_timing(1_000_000) == b"total;dur=1.000"


@given(st.uuids(), st.booleans())
def test_no_uuid_is_taken_for_a_card_number(one: UUID, hyphens: bool) -> None:
    text = str(one) if hyphens else one.hex
    assert request_trace(text.encode(), None).request_id == text
    assert not holds_card_number(text), "the short way for UUIDs says what the rule says"


@given(st.integers(0, 10**11), st.lists(st.integers(0, 10**8), min_size=4, max_size=4))
def test_server_timing_is_milliseconds_with_three_digits(total_ns: int, parts: list[int]) -> None:
    names = ("wait", "features", "model", "decision")
    value = server_timing(total_ns, dict(zip(names, parts, strict=True))).decode()
    assert re.fullmatch(", ".join(f"{name};dur=[0-9]+\\.[0-9]{{3}}" for name in ("total", *names)), value)
    found = [round(float(text) * 1_000) for text in re.findall("dur=([0-9.]+)", value)]
    assert found == [total_ns // 1_000, *parts]
