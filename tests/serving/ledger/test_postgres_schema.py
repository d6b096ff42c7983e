"""The tables in PostgreSQL: created once by concurrent starts, and refused by a release that does not know them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from serving.errors import CannotStart
from serving.ledger.postgres import schema
from serving.ledger.postgres.session import first_session, place_of
from tests.serving.servers import Servers
from training.client.service_process import free_port


def check(servers: Servers) -> None:
    with first_session(servers.postgres_url) as session:
        schema.check(session, servers.postgres_url, servers.prefix)


def test_eight_processes_that_start_together_create_the_tables_once(servers: Servers) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda _: schema.prepare(servers.postgres_url, servers.prefix), range(8)))
    assert versions == [schema.VERSION] * 8
    assert servers.rows("SELECT version, prefix FROM riskgate_schema") == [(schema.VERSION, servers.prefix)]
    check(servers)


def test_an_empty_database_is_refused_with_the_command_that_creates_the_tables(servers: Servers) -> None:
    with pytest.raises(CannotStart, match="python -m serving migrate"):
        check(servers)


@pytest.mark.parametrize(("version", "sentence"), [(0, "python -m serving migrate"), (99, "Deploy the release")])
def test_another_schema_version_is_refused_with_the_repair(servers: Servers, version: int, sentence: str) -> None:
    schema.prepare(servers.postgres_url, servers.prefix)
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("UPDATE riskgate_schema SET version = %s", (version,))
    with pytest.raises(CannotStart, match=sentence):
        check(servers)


def test_a_migration_keeps_what_is_recorded(servers: Servers) -> None:
    schema.prepare(servers.postgres_url, servers.prefix)
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("INSERT INTO entries VALUES (7, 'promotion', '', 1, 2, '\\x7b7d')")
        one.execute("UPDATE riskgate_schema SET version = version - 1")
    migrations = schema.MIGRATIONS | {schema.VERSION - 1: "CREATE TABLE later (seq bigint)"}
    assert schema.prepare(servers.postgres_url, servers.prefix, migrations=migrations) == schema.VERSION
    assert servers.rows("SELECT version FROM riskgate_schema") == [(schema.VERSION,)]
    assert servers.rows("SELECT seq, body FROM events") == [(7, b"{}")]
    assert servers.rows("SELECT count(*) FROM later") == [(0,)]


def test_a_database_of_another_prefix_is_refused(servers: Servers) -> None:
    schema.prepare(servers.postgres_url, "somebody-else")
    with pytest.raises(CannotStart, match="belongs to the Redis prefix `somebody-else`"):
        check(servers)


def test_a_missing_server_is_reported_without_the_password() -> None:
    url = f"postgresql://risk:hush%40hush@127.0.0.1:{free_port()}/risk"
    with pytest.raises(CannotStart) as refused:
        schema.prepare(url, "rg")
    text = refused.value.message + refused.value.repair
    assert "127.0.0.1" in text
    assert "RISKGATE_POSTGRES_URL" in text
    assert "hush" not in text


def test_a_missing_database_is_reported(servers: Servers) -> None:
    url = servers.postgres_url.rsplit("/", 1)[0] + "/no_such_database"
    with pytest.raises(CannotStart, match="no_such_database"):
        schema.prepare(url, "rg")


def test_an_invalid_url_is_refused_without_repeating_it() -> None:
    with pytest.raises(CannotStart) as refused:
        place_of("postgresql://risk:hush%zz@host:notaport/x")
    assert "hush" not in refused.value.message + refused.value.repair
