"""No secret is committed, and what looks like one is found."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.access.api_keys import new_key
from tests.house.secrecy import no_secret_is_committed, secrets_in

ROOT = Path(__file__).parents[2]
RANDOM = secrets.token_hex(20)


def test_no_secret_is_committed() -> None:
    assert no_secret_is_committed(ROOT) == []


# Composed, so that this file holds none of them.
@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "key = AKIA" + "Q" * 16,
        "ghp_" + RANDOM,
        new_key("till", ("score",), datetime.now(UTC))[1],
        "redis://:" + RANDOM + "@10.0.0.1/0",
        "postgresql://risk:" + "real" + "@db/risk",
        'api_key = "' + RANDOM + '"',
        "'token': '" + RANDOM + "'",
    ],
    ids=["private key", "cloud", "forge", "ours", "redis", "postgres", "assigned", "mapped"],
)
def test_what_looks_like_a_secret_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(f"one\n{line}\n")
    (found,) = no_secret_is_committed(tmp_path)
    assert found.startswith("notes.md:2")
    assert RANDOM not in found


@pytest.mark.parametrize(
    "line", ["redis://:hush@127.0.0.1/0", "postgresql://user:password@host/x", "token = read()", "f'{a}://:{word}@b'"]
)
def test_a_placeholder_is_no_secret(line: str) -> None:
    assert secrets_in(line) == []
