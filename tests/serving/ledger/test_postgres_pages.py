"""A page of the ledger costs the same at every position: PostgreSQL counts the blocks that each statement reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from serving.cases import party_index, queries
from serving.ledger.postgres import schema
from serving.ledger.postgres.ledger import PostgresLedger
from tests.serving.recorder.stream_world import settings_of
from tests.serving.servers import Servers, own_database

PAYMENTS, PREFIX = 24_000, "pages"
EARLY, LATE = 2_000, 20_000

#: Each payment is an entry, its decision the next one; every 50th has a label, every 97th was never decided.
_FILL = """
INSERT INTO entries SELECT n * 10, 'payment', 't-' || n, n, n,
    convert_to('{"payer_id":"u-' || n % 500 || '","payee_id":"m-' || n % 90 || '","note":"' || repeat('x', 200) || '"}',
        'UTF8') FROM generate_series(1, 24000) n;
INSERT INTO entries SELECT n * 10 + 2, CASE WHEN n % 100 = 0 THEN 'outcome' ELSE 'label' END, 't-' || n, n, n, '{}'
    FROM generate_series(50, 24000, 50) n;
INSERT INTO decisions (payment_seq, seq, transaction_id, event_time_ms, arrival_time_ms, body)
    SELECT n * 10, n * 10 + 1, 't-' || n, n, n, convert_to('{"receipt":{"v":"' || repeat('y', 400) || '"},"answer":{}}',
        'UTF8') FROM generate_series(1, 24000) n WHERE n % 97 <> 0;
"""
#: The view as the first release made it.
_FORMER_VIEW = """
DROP VIEW events; CREATE VIEW events AS
    SELECT p.seq, p.kind, p.transaction_id, p.event_time_ms, p.arrival_time_ms,
        CASE
            WHEN p.kind <> 'payment' THEN p.body
            WHEN d.body IS NULL THEN '{"payment":'::bytea || p.body || ',"receipt":null,"answer":null}'::bytea
            ELSE '{"payment":'::bytea || p.body || ','::bytea || substring(d.body FROM 2)
        END AS body
    FROM entries p LEFT JOIN decisions d ON d.payment_seq = p.seq
"""


class Counting(psycopg.Cursor[Any]):
    """Counts the blocks that PostgreSQL looks at for each statement before it runs it."""

    blocks: ClassVar[list[int]] = []

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        with psycopg.Cursor(self.connection) as cursor:
            row = cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + query, params).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        self.blocks.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        return super().execute(query, params, **options)


@pytest.fixture(scope="module")
def filled(server_urls: tuple[str, str]) -> Iterator[Servers]:
    """A database with a long ledger, analysed as autovacuum would."""
    redis_url, postgres = server_urls
    with own_database(postgres) as database:
        schema.prepare(database, PREFIX)
        with psycopg.connect(database, autocommit=True) as one:
            one.execute(_FILL)
            one.execute("VACUUM ANALYZE entries, decisions")
        yield Servers(redis_url, database, PREFIX)


@pytest.fixture(params=["a plan for these values", "a plan for any values"])
def ledger(filled: Servers, request: pytest.FixtureRequest) -> Iterator[PostgresLedger]:
    """A reader whose statements are counted; after a few pages PostgreSQL may plan for any values."""
    one = PostgresLedger(settings_of(filled).ledger)
    mode = "force_custom_plan" if "these" in request.param else "force_generic_plan"
    one._connection._session = psycopg.connect(
        filled.postgres_url, autocommit=True, cursor_factory=Counting, options=f"-c plan_cache_mode={mode}"
    )
    yield one
    one.release()


@pytest.fixture(params=["made by this release", "made by the first release"])
def view(filled: Servers, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever view stands in the database, the readers bring their own statement along."""
    if "first" not in request.param:
        yield
        return
    with psycopg.connect(filled.postgres_url, autocommit=True) as one:
        one.execute(_FORMER_VIEW)
        yield
        one.execute(f"DROP VIEW events; CREATE VIEW events AS {schema.EVENTS}")  # type: ignore[call-overload]


def blocks_of(question: Callable[[], object]) -> int:
    """How many blocks were looked at for it."""
    Counting.blocks.clear()
    question()
    return sum(Counting.blocks)


def test_a_page_of_the_walk_costs_as_much_late_as_early(ledger: PostgresLedger, view: None) -> None:
    early = blocks_of(lambda: list(islice(ledger.walk(EARLY * 10), 2_000)))
    late = blocks_of(lambda: list(islice(ledger.walk(LATE * 10), 2_000)))
    assert late <= 1.1 * early


def test_a_slice_of_the_index_of_parties_costs_as_much_late_as_early(
    ledger: PostgresLedger, view: None, tmp_path: Path
) -> None:
    costs = []
    with closing(party_index.connect(tmp_path / "index.sqlite")) as index:
        for begin in (EARLY, LATE):
            row = (begin * 10, f"t-{begin}", "u-1", None, "m-1", begin)
            index.execute("INSERT INTO payment_index VALUES (?, ?, ?, ?, ?, ?)", row)
            costs.append(blocks_of(lambda: party_index.catch_up(index, ledger._connection)))
        assert index.execute("SELECT count(*) FROM payment_index").fetchone() == (2 + 2 * party_index.SLICE,)
    assert costs[1] <= 1.1 * costs[0]


@pytest.mark.parametrize("kind", ["label", "outcome"])
def test_reports_of_one_kind_cost_a_page_of_their_index_and_no_decision(ledger: PostgresLedger, kind: str) -> None:
    count = PAYMENTS // 100
    assert blocks_of(lambda: ledger.of_kind(kind, LATE * 10)) <= 100 + 20
    assert blocks_of(lambda: list(ledger.each_of_kind(kind))) <= 2 * count
    assert len(list(ledger.each_of_kind(kind))) == count


def test_what_is_asked_about_one_transaction_costs_a_few_blocks(ledger: PostgresLedger) -> None:
    assert blocks_of(lambda: ledger.payment("t-19950")) <= 10
    assert blocks_of(lambda: ledger.reports("t-19950", "label")) <= 10
    assert blocks_of(lambda: queries.history(ledger._connection, "t-19950")) <= 20
    assert blocks_of(lambda: queries.events_at(ledger._connection, [199_490, 199_500])) <= 20
    assert blocks_of(lambda: queries.present_ms(ledger._connection)) <= 10
    assert blocks_of(ledger.last_seq) <= 10


def test_whether_there_is_a_past_costs_a_few_blocks(ledger: PostgresLedger) -> None:
    assert ledger.has_past()
    assert blocks_of(ledger.has_past) <= 10


@pytest.mark.parametrize("analysed", [True, False])
def test_a_long_ledger_without_a_past_is_not_read_to_find_that_out(servers: Servers, analysed: bool) -> None:
    schema.prepare(servers.postgres_url, servers.prefix)
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("INSERT INTO entries SELECT n, 'profile', '', n, n, '{}' FROM generate_series(1, 20000) n")
        if analysed:
            one.execute("VACUUM ANALYZE entries")
    ledger = PostgresLedger(settings_of(servers).ledger)
    ledger._connection._session = psycopg.connect(servers.postgres_url, autocommit=True, cursor_factory=Counting)
    assert blocks_of(lambda: ledger.has_past()) <= 12
    assert not ledger.has_past()
    ledger._connection.execute("SELECT 1")
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("INSERT INTO entries VALUES (30000, 'history', '', 1, 1, '{}')")
    assert ledger.has_past()
    ledger.release()


def test_a_walk_holds_no_more_rows_than_a_page(ledger: PostgresLedger) -> None:
    Counting.blocks.clear()
    assert len(list(islice(ledger.walk(page=100), 250))) == 250
    assert len(list(islice(ledger.each_of_kind("label", page=100), 150))) == 150
    assert len(Counting.blocks) == 3 + 2


def test_counting_events_reads_no_decision(ledger: PostgresLedger) -> None:
    assert ledger.count() == PAYMENTS + PAYMENTS // 50
    assert blocks_of(ledger.count) <= 24_480 // 100
