"""The flags of the query string: what they do alone and in a batch, and 422 on every route for all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import Refused
from serving.api.openapi import document
from serving.api.query_flags import MEANING, SPELLINGS, TAKEN, Flags, flags_of
from serving.audit.verify import verify_ledger
from tests.serving.asgi import Asked
from tests.serving.scoring_world import START_MS, payment, suspicious

SCORE, BATCH = "/v1/score", "/v1/score/batch"
ROUTES = [
    ("POST", SCORE), ("POST", BATCH), ("POST", "/v1/outcomes"), ("POST", "/v1/labels"), ("GET", "/v1/receipts/t-1"),
    ("GET", "/v1/decisions/t-1"),
    ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/docs"),
    ("GET", "/"), ("HEAD", "/livez"),
]  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Asked]:
    var = tmp_path_factory.mktemp("flags") / "var"
    one = Asked(var, bundle)
    one.load()
    yield one
    settings = one.runtime.settings
    one.close()
    assert verify_ledger(settings.ledger).differences == []


def seen(asked: Asked, name: str, at_ms: int, payer: str) -> int:
    """How many events the state of a payer had seen when this payment came."""
    asked.ask("POST", SCORE, payment(name, at_ms, payer_id=payer))
    found: dict[str, Any] = asked.ask("GET", f"/v1/receipts/{name}").json()
    count: int = found["receipt"]["seen"][0]
    return count


def test_a_dry_run_of_a_batch_records_nothing_and_counts_nothing(asked: Asked) -> None:
    batch = {"payments": [payment("d-1", payer_id="u-dry"), suspicious("d-2", payer_id="u-dry"), 7]}
    before, counted = asked.runtime.ledger.last_seq(), metrics(asked, "riskgate_decisions_total")
    first = asked.ask("POST", BATCH + "?dry_run=1", batch)
    decisions = first.json()["decisions"]
    assert [one.get("receipt_id") for one in decisions] == [None, None, None]
    assert [one.get("transaction_id") for one in decisions] == ["d-1", "d-2", None]
    assert decisions[0]["reasons"], "a dry run explains an approved payment too, as alone"
    assert decisions[0] == asked.ask("POST", SCORE + "?dry_run=1", batch["payments"][0]).json()
    assert asked.ask("POST", BATCH + "?dry_run=true&explain=True", batch).json() == first.json()
    assert asked.runtime.ledger.last_seq() == before
    assert metrics(asked, "riskgate_decisions_total") == counted
    assert asked.ask("GET", "/v1/receipts/d-1").status_code == 404
    assert seen(asked, "d-3", START_MS + 10, "u-dry") == 0


def test_a_batch_without_the_flag_is_recorded(asked: Asked) -> None:
    asked.ask("POST", BATCH + "?dry_run=0&explain=0", {"payments": [payment("r-1", START_MS, payer_id="u-real")]})
    assert asked.ask("GET", "/v1/receipts/r-1").status_code == 200
    assert seen(asked, "r-2", START_MS + 10, "u-real") == 1


def test_explain_gives_reasons_for_the_approved_payments_of_a_batch(asked: Asked) -> None:
    for query, explained in (("", False), ("?explain=1", True), ("?explain=TRUE", True), ("?%65xplain=%31", True)):
        one = payment(f"e{len(query)}", START_MS + len(query))
        (decision,) = asked.ask("POST", BATCH + query, {"payments": [one]}).json()["decisions"]
        assert decision["decision"] == "approve"
        assert bool(decision["reasons"]) is explained


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda word: str(word))
def test_an_unknown_flag_is_422_on_every_route_and_is_not_repeated(asked: Asked, method: str, path: str) -> None:
    before = asked.runtime.ledger.last_seq()
    body = payment("never") if path == SCORE else {"payments": [payment("never")]} if path == BATCH else {}
    for query in ("colour=4111111111111111", "Explain=1", "explain=1&dryrun=1", "=1", "v", "explain=1;dry_run=1"):
        reply = asked.ask(method, f"{path}?{query}", body if method == "POST" else None)
        assert reply.status_code == 422, query
        if method != "HEAD":
            assert reply.json()["error"]["repair"]
            assert "4111" not in reply.text
    assert asked.runtime.ledger.last_seq() == before


@pytest.mark.parametrize(("method", "path"), [one for one in ROUTES if one[1] not in TAKEN])
def test_a_route_that_takes_no_flag_takes_a_bare_question_mark(asked: Asked, method: str, path: str) -> None:
    body: dict[str, Any] | None = {} if method == "POST" else None
    assert asked.ask(method, path + "?", body).status_code == asked.ask(method, path, body).status_code
    assert asked.ask(method, path + "?explain=1", body).status_code == 422


def test_a_flag_is_sent_once_and_is_on_or_off() -> None:
    for query in (
        b"explain=1&explain=1",
        b"explain=1&explain=0",
        b"dry_run=2",
        b"dry_run=%20",
        b"explain=",
        b"explain=1%00",
    ):
        with pytest.raises(Refused):
            flags_of(SCORE, query)
    with pytest.raises(Refused) as caught:
        flags_of(SCORE, b"explain=yes&dry_run=1&dry_run=1&colour=1&shape=2")
    assert [one.code for one in caught.value.problems] == ["invalid_flag", "repeated_flag", "unknown_flag"]
    assert flags_of(SCORE, b"&&explain=1&") == Flags(explain=True)


@given(st.binary(max_size=60))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    for path in (SCORE, BATCH, "/livez", "/v1/receipts/t"):
        try:
            found = flags_of(path, query)
        except Refused as error:
            assert all(one.repair for one in error.problems)
        else:
            assert found == Flags() or path in TAKEN


SPELLED = st.sampled_from(list(SPELLINGS)).flatmap(
    lambda text: st.tuples(*(st.sampled_from((one.lower(), one.upper())) for one in text)).map("".join)
)


@given(st.dictionaries(st.sampled_from(list(MEANING)), SPELLED))
def test_every_spelling_is_read_in_any_letter_case(sent: dict[str, str]) -> None:
    query = "&".join(f"{name}={text}" for name, text in sent.items()).encode()
    expected = Flags(**{name: SPELLINGS[text.lower()] for name, text in sent.items()})
    assert flags_of(SCORE, query) == flags_of(BATCH, query) == expected


def test_the_document_shows_the_flags_where_they_are_taken() -> None:
    paths = document()["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            shown = tuple(one["name"] for one in operation.get("parameters", ()) if one["in"] == "query")
            if not path.startswith("/v1/lists/"):  # their query has values, not flags
                assert shown == TAKEN.get(path, ())
                assert all(one["schema"] == {"type": "boolean"} for one in operation.get("parameters", ()) if shown)
            assert "422" in operation["responses"]


def metrics(asked: Asked, name: str) -> list[str]:
    return [line for line in asked.runtime.metrics.text().decode().splitlines() if line.startswith(name)]
