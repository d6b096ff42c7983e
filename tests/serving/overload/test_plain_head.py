"""What the fast path takes is read by two other parsers just as it is read here."""

from __future__ import annotations

import time
from typing import Any

import h11
import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.overload.plain_head import MAX_HEAD_BYTES, MAX_LINES, HeadReader, PlainHead, read_head
from serving.server.head_faults import fault_in
from tests.serving.overload.ordinary_heads import ORDINARY, head_of

START = b"POST /v1/score HTTP/1.1\r\n"
PLAIN = START + b"Host: risk\r\nContent-Length: 2\r\n\r\n"
HEADS = [head_of(lines) for lines in ORDINARY.values()]

#: Lines that change how a request is read, spelled soundly and not.
LINES = [
    b"Host: risk", b"host:other", b"HOST : risk", b"Content-Length: 2", b"content-length:3", b"Content-Length: 2, 2",
    b"Content-Length: +2", b"Content-Length:  2", b"Content-Length: 02", b"Content-Length: 9999999999",
    b"Content-Length\t: 2", b"Transfer-Encoding: chunked", b"transfer-encoding:identity",
    b"Transfer-Encoding : chunked",
    b"Authorization: Bearer other", b"authorization:Basic x", b"Authorization:", b"Authorization: Bearer k \t",
    b"Connection: close", b"connection:keep-alive", b"Connection: keep-alive, close", b"Expect: 100-continue",
    b"Upgrade: h2c", b"Content-Encoding: gzip", b"Content-Type: text/plain", b"Content-Type: application/json",
    b"Origin: http://evil", b"TE: trailers", b"Trailer: Host", b" folded", b"\tfolded", b"no colon", b": nameless",
    b"X-A: b\xff", b"X-A:", b"X-A: \x00", b"X-A: b\rc", b"X-\xe9: b", b"X A: b", b"",
]  # fmt: skip
BYTES = st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b"\x0b", b"\x7f", b"\x80", b"0", b"A"])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An ordinary head after a few changes."""
    head = draw(st.sampled_from(HEADS))
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["line", "line", "line", "twice", "gone", "insert", "replace", "delete", "case"]))
        lines = head.split(b"\r\n")
        place = draw(st.integers(1, max(len(lines) - 2, 1)))
        at = draw(st.integers(0, len(head) - 1))
        if kind == "line":
            lines.insert(place, draw(st.sampled_from(LINES)))
        elif kind == "twice":
            lines.insert(place, lines[min(place, len(lines) - 1)])
        elif kind == "gone":
            del lines[min(place, len(lines) - 1)]
        elif kind == "case":
            lines[min(place, len(lines) - 1)] = lines[min(place, len(lines) - 1)].swapcase()
        head = b"\r\n".join(lines)
        if kind == "insert":
            head = head[:at] + draw(BYTES) + head[at:]
        elif kind == "replace":
            head = head[:at] + draw(BYTES) + head[at + 1 :]
        elif kind == "delete":
            head = head[:at] + head[at + draw(st.integers(1, 4)) :]
        head = head or PLAIN
    return head


class Uvicorns:
    """What uvicorn's parser makes of a request."""

    def __init__(self, data: bytes) -> None:
        self.target, self.body, self.whole = b"", b"", 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parser: Any = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.whole += 1

    def values(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.headers if known == name]


def agree(data: bytes, head: PlainHead) -> None:
    """Check that both parsers read what `read_head` read. `data` is a head and as many bytes of a body as it says."""
    one = Uvicorns(data)
    assert (one.parser.get_method(), one.target, one.parser.get_http_version()) == (b"POST", b"/v1/score", "1.1")
    assert (one.whole, one.body, one.parser.should_keep_alive()) == (1, data[head.body_at :], True)
    assert fault_in(b"POST", one.target, "1.1", one.headers) is None
    assert len(one.headers) <= MAX_LINES
    assert [int(value) for value in one.values(b"content-length")] == [head.content_length]
    assert one.values(b"host") == [head.host]
    assert one.values(b"authorization") == ([] if head.authorization is None else [head.authorization])
    for name in (b"transfer-encoding", b"expect", b"upgrade", b"content-encoding", b"origin"):
        assert one.values(name) == []
    other = h11.Connection(h11.SERVER)
    other.receive_data(data)
    request = other.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target, request.http_version) == (b"POST", b"/v1/score", b"1.1")
    assert [(name, value) for name, value in request.headers if name != b"host"] == [
        (name, value) for name, value in one.headers if name != b"host"
    ]
    if head.content_length:
        body = other.next_event()
        assert isinstance(body, h11.Data)
        assert bytes(body.data) == one.body
    assert isinstance(other.next_event(), h11.EndOfMessage)


@given(mutated())
@settings(max_examples=600, deadline=None)
@example(PLAIN)
@example(PLAIN.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer  k \t\r\n\r\n"))
def test_what_is_taken_is_read_alike_by_uvicorns_parser_and_by_h11(data: bytes) -> None:
    head = read_head(data)
    if head is None:
        return
    assert head.body_at <= len(data)
    if head.content_length <= 65_536:
        agree(data[: head.body_at] + b"x" * head.content_length, head)


@given(st.lists(mutated(), min_size=2, max_size=6), st.lists(st.integers(0, 10**10), min_size=6, max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_connection_that_remembers_its_head_reads_the_same_as_one_that_does_not(
    several: list[bytes], lengths: list[int]
) -> None:
    heads = HeadReader()
    for data, length in zip(several, lengths, strict=False):
        for one in (data, data.replace(b": 2\r\n", b": %d\r\n" % length), data, data + b"{}"):
            assert heads.read(one) == read_head(one)


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_heads_are_taken(name: str) -> None:
    data = head_of(ORDINARY[name])
    head = read_head(data)
    assert head is not None
    assert (head.body_at, head.content_length) == (len(data), 2)
    key = b"Bearer k" if b"Bearer k" in data else None
    assert head.authorization == key
    agree(data + b"{}", head)


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Upgrade: h2c", b"Connection: close",
        b"Connection: upgrade", b"Connection:", b"Content-Encoding: gzip", b"Content-Encoding: identity",
        b"Origin: http://localhost", b"Content-Type: text/plain", b"Content-Type: application/jsonp",
        b"Content-Type: application/json; charset=latin-1", b"TE: trailers", b"Trailer: X", b"Host: risk",
        b"Content-Length: 2", b"X-A: b\r\n c", b"X-A: b\nX-B: c", b"X-A: b\rc", b"X-A: \0", b"X-A : b", b" X-A: b",
        b"X-A", b": b", b"X\xc3\xa9: b", b"X(A): b", b"Authorization: Bearer a\r\nAuthorization: Bearer b",
        b"Authorization:", b"Authorization: \xff", b"Content-Type: application/json\r\ncontent-type: application/json",
    ],
)  # fmt: skip
def test_a_line_that_two_parsers_might_read_differently_is_not_taken(line: bytes) -> None:
    assert read_head(PLAIN.replace(b"\r\n\r\n", b"\r\nX-Before: 1\r\n\r\n")) is not None
    assert read_head(PLAIN.replace(b"\r\n\r\n", b"\r\n%b\r\n\r\n" % line)) is None
    assert read_head(PLAIN.replace(START, START + line + b"\r\n")) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Content-Length: 2\r\n", b""), (b"Host: risk\r\n", b""), (b"Host: risk", b"Host:"),
        (b"Host: risk", b"Host: a b"), (b"Host: risk", b"Host: u@risk"), (b"Host: risk", b"Host: risk/"),
        (b"Host: risk", b"Host: risk:port"), (b"Length: 2", b"Length: 0x2"), (b"Length: 2", b"Length: -2"),
        (b"Length: 2", b"Length: 1234567890"), (b"Length: 2", b"Length:"), (b"Length: 2", b"Length: 2 "),
        (b"Length: 2", b"Length: 2,2"), (b"Length: 2", "Length: ٢".encode()), (b"Length: 2", b"Length:\t2"),
        (b"POST", b"post"), (b"POST ", b"POST  "), (b" HTTP/1.1", b" HTTP/1.0"), (b"score", b"score?explain=1"),
        (b"/v1", b"http://risk/v1"), (b"POST", b"\r\nPOST"), (b"HTTP/1.1", b"HTTP/1.1 "), (b"\r\n\r\n", b"\r\n\n"),
        (b"\r\n", b"\n"), (b"\r\n\r\n", b"\r\n"),
    ],
)  # fmt: skip
def test_a_head_that_is_not_exactly_the_expected_one_is_not_taken(old: bytes, new: bytes) -> None:
    assert read_head(PLAIN.replace(old, new)) is None


def test_lines_and_bytes_are_bounded() -> None:
    def many(count: int) -> bytes:
        return PLAIN.replace(b"\r\n\r\n", b"\r\n" + b"A: b\r\n" * (count - 2) + b"\r\n")

    assert read_head(many(MAX_LINES)) is not None
    assert read_head(many(MAX_LINES + 1)) is None
    for size, taken in ((MAX_HEAD_BYTES, True), (MAX_HEAD_BYTES + 1, False)):
        filler = b"\r\nA: " + b"b" * (size - len(PLAIN) - 5) + b"\r\n\r\n"
        data = PLAIN.replace(b"\r\n\r\n", filler)
        assert (len(data), read_head(data) is not None) == (size, taken)


@pytest.mark.parametrize(
    "line",
    [
        b"A: " + b"b " * 4_000 + b"\0", b"A" * 9_000, b"Authorization: " + b"k " * 4_000 + b"\0",
        b"Host: " + b"a.:1" * 2_000, b"Host: [" + b"a:" * 4_000, b"A:\r\n" * 60 + b"A: " + b"b" * 7_000 + b"\n",
        b"Content-Type: application/json" + b"; charset=utf-8" * 500, b"Connection: keep-alive\r\n" * 300, b":" * 8_000,
    ],
)  # fmt: skip
def test_a_head_made_to_be_slow_takes_no_longer_than_its_length(line: bytes) -> None:
    """A linear match takes 0.05 ms of processor time; one that went back over its steps would take seconds."""
    began = time.thread_time()
    assert read_head(START + line + b"\r\nHost: risk\r\nContent-Length: 2\r\n\r\n") is None
    assert time.thread_time() - began < 0.1
