"""Bodies in content codings and encodings: bounded before they are inflated, and a sentence for what is not read."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.errors import Malformed
from serving.api.bodies.reading import MOST_MEMBERS, inflated, plain_json, read_body
from serving.errors import TooLarge, UnreadCoding

LIMIT = 65_536


def read(body: bytes, coding: bytes = b"gzip", limit: int = LIMIT, pieces: int = 1) -> bytes:
    size = max(1, -(-len(body) // pieces))
    parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]

    async def receive() -> MutableMapping[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    return asyncio.run(read_body(receive, None, limit, coding))


@given(st.lists(st.binary(max_size=3_000), min_size=1, max_size=5), st.integers(1, 9), st.integers(0, 9))
def test_members_of_gzip_are_one_body(parts: list[bytes], pieces: int, level: int) -> None:
    sent = b"".join(gzip.compress(b"[" + part, level) for part in parts)
    assert read(sent, pieces=pieces) == b"".join(b"[" + part for part in parts)


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip", b" gzip ", b"identity, gzip", b",gzip,"])
def test_spellings_of_gzip(coding: bytes) -> None:
    assert read(gzip.compress(b"{}"), coding) == b"{}"


@pytest.mark.parametrize("coding", [b"", b"identity", b"Identity", b","])
def test_a_body_as_it_is(coding: bytes) -> None:
    assert read(b"{}", coding) == b"{}"


@pytest.mark.parametrize("coding", [b"deflate", b"br", b"zstd", b"compress", b"gzip, gzip", b"gzip, br", b"\xff"])
def test_other_codings_are_refused_in_one_sentence(coding: bytes) -> None:
    with pytest.raises(UnreadCoding) as refused:
        read(b"{}", coding)
    assert "gzip" in refused.value.repair


@given(st.binary(max_size=200))
@example(b"")
@example(gzip.compress(b"{}")[:-1])
@example(gzip.compress(b"{}") + b"\0")
@example(gzip.compress(b"{}")[:12])
@example(zlib.compress(b"{}"))
def test_broken_gzip_is_malformed_or_what_gzip_says(sent: bytes) -> None:
    try:
        found = inflated(sent, LIMIT)
    except Malformed as error:
        assert "gzip" in error.message
    else:
        assert found == gzip.decompress(sent)


def test_a_damaged_member_behind_a_good_one_is_malformed() -> None:
    damaged = bytearray(gzip.compress(b"{}" * 100))
    damaged[-6] ^= 1  # in the check sum
    with pytest.raises(Malformed):
        inflated(gzip.compress(b"{") + bytes(damaged), LIMIT)


@pytest.mark.parametrize("length", [LIMIT, LIMIT + 1])
def test_the_limit_holds_for_what_the_body_inflates_to(length: int) -> None:
    sent = gzip.compress(b"1" * length)
    if length <= LIMIT:
        assert len(read(sent)) == length
    else:
        with pytest.raises(TooLarge, match="larger than 65536 bytes"):
            read(sent)


def test_a_bomb_is_refused_without_being_inflated() -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)
    assert len(bomb) < LIMIT + 100
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(TooLarge):
        inflated(bomb, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert time.process_time() - began < 0.05  # 64 MiB take 0.2 s


def test_members_without_end_are_refused() -> None:
    empty = gzip.compress(b"")
    assert inflated(empty * MOST_MEMBERS, LIMIT) == b""
    with pytest.raises(Malformed, match="members"):
        inflated(empty * (MOST_MEMBERS + 1), LIMIT)


def test_a_mark_of_utf8_is_ignored_and_other_encodings_are_named() -> None:
    text = '{"transaction_id": "t"}'
    assert plain_json(text.encode("utf-8-sig")) == text.encode()
    assert plain_json(b"") == b""
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        with pytest.raises(Malformed, match=encoding[:6].upper()):
            plain_json(text.encode(encoding))
