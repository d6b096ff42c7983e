"""`verify` on PostgreSQL: no difference in an intact ledger, every tampering in another, undecided payments apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from features.intake.parse import payment_json
from serving.audit.verify import verify_ledger
from serving.settings import Settings, read_settings
from tests.serving.audit.test_verify import fill
from tests.serving.console.desk_world import payment
from tests.serving.profiles import Production
from tests.serving.recorder.stream_world import Stream, take_down
from tests.serving.servers import Servers


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path, server_urls: tuple[str, str]
) -> Iterator[tuple[Settings, Servers]]:
    """A ledger that a worker and a recorder wrote, both stopped."""
    profile, folder = Production(server_urls), tmp_path_factory.mktemp("there")
    try:
        with profile.running(folder, bundle) as service:
            fill(service)
            settings = read_settings(service.environment)
        yield settings, profile.servers(folder)
    finally:
        profile.close()


def test_an_honest_ledger_has_no_mismatch(filled: tuple[Settings, Servers]) -> None:
    result = verify_ledger(filled[0].ledger)
    assert (result.payments, result.mismatches, result.differences) == (62, 0, [])
    assert result.undecided == 0


def test_an_undecided_payment_is_counted_and_is_no_mismatch(filled: tuple[Settings, Servers]) -> None:
    settings, servers = filled
    one = payment("t-nobody", payer_id="u-nobody")
    Stream(servers).add("payment", "t-nobody", payment_json(one), one.event_time_ms)
    take_down(servers)
    result = verify_ledger(settings.ledger)
    assert (result.payments, result.undecided, result.mismatches) == (62, 1, 0)
    assert "1 were admitted and never decided" in result.sentence()


@pytest.mark.parametrize(
    ("change", "least"),
    [
        ("UPDATE decisions SET body = replace(encode(body, 'escape'), '\"decline\"', '\"approve\"')::bytea"
         " WHERE transaction_id = 'blocked'", 1),
        ("UPDATE entries SET body = replace(encode(body, 'escape'), '12500', '12501')::bytea"
         " WHERE transaction_id = 'p-1'", 2),
        ("DELETE FROM entries WHERE transaction_id = 'p-1'", 1),
    ],
    ids=["a changed decision", "a changed amount", "a removed payment"],
)  # fmt: skip
def test_tampering_is_found(filled: tuple[Settings, Servers], change: str, least: int) -> None:
    settings, servers = filled
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("CREATE TABLE kept_entries AS TABLE entries; CREATE TABLE kept_decisions AS TABLE decisions")
        assert one.execute(change).rowcount == 1  # type: ignore[call-overload]
        try:
            assert verify_ledger(settings.ledger).mismatches >= least
        finally:
            one.execute(
                "TRUNCATE entries, decisions; INSERT INTO entries TABLE kept_entries;"
                " INSERT INTO decisions TABLE kept_decisions; DROP TABLE kept_entries, kept_decisions"
            )
