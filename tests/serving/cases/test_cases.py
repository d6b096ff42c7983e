from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.domain.currencies import CURRENCIES
from serving.cases import cases, queries
from serving.cases.cases import AlreadyResolved, UnknownCase, Verdict
from serving.cases.sqlite import SqliteCases, connect
from serving.decision.case_row import risk_minor
from tests.serving.console.desk_world import START_MS, DeskWorld, busy_desk, payment


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    world = DeskWorld(tmp_path)
    yield world
    world.close()


def ids(world: DeskWorld, **asked: object) -> list[str]:
    wanted = {"status": None, "decision": None, "find": None, "limit": 100, "offset": 0, **asked}
    found, _ = cases.queue(world.connection, **wanted)  # type: ignore[arg-type]
    return [case.transaction_id for case in found]


def resolve(connection: sqlite3.Connection, transaction_id: str, verdict: str = "fraud", actor: str = "asha") -> int:
    given = Verdict(transaction_id, verdict, "Called the payer.", actor, START_MS + 1, START_MS + 2)
    return SqliteCases(Path("ledger.sqlite")).resolve(connection, given)


def test_the_queue_is_sorted_by_money_at_risk_across_currencies(world: DeskWorld) -> None:
    busy_desk(world)
    assert ids(world) == ["t-8230", "t-81f3", "t-8210", "t-8203", "t-8217", "t-8222"]


def test_resolved_cases_come_after_all_open_ones(world: DeskWorld) -> None:
    busy_desk(world)
    resolve(world.connection, "t-8230")
    assert ids(world)[-1] == "t-8230"
    assert ids(world, status="resolved") == ["t-8230"]
    assert "t-8230" not in ids(world, status="open")


def test_the_queue_is_filtered_by_decision_and_found_by_any_party(world: DeskWorld) -> None:
    busy_desk(world)
    assert ids(world, decision="decline") == ["t-8203", "t-8222"]
    assert ids(world, find="d-9c1") == ["t-8230", "t-81f3", "t-8203"]
    assert ids(world, find="b-games") == ["t-8222"]
    assert ids(world, find="d-9c") == []


def test_pages_of_the_queue_tile_it(world: DeskWorld) -> None:
    busy_desk(world)
    assert ids(world, limit=4) + ids(world, limit=4, offset=4) == ids(world)


def test_an_approved_payment_opens_no_case(world: DeskWorld) -> None:
    world.scored(payment("t-1"), "approve", 0.001)
    with pytest.raises(UnknownCase):
        cases.case_of(world.connection, "t-1")


def test_a_verdict_is_an_event_and_closes_its_case(world: DeskWorld) -> None:
    world.scored(payment("t-1"))
    seq = resolve(world.connection, "t-1", "legitimate")
    [(transaction_id, body)] = world.verdicts()
    assert transaction_id == "t-1"
    assert msgspec.json.decode(body) == {
        "transaction_id": "t-1",
        "verdict": "legitimate",
        "note": "Called the payer.",
        "by": "asha",
        "at": START_MS + 1,
    }
    case = cases.case_of(world.connection, "t-1")
    assert (case.status, case.verdict, case.verdict_by) == ("resolved", "legitimate", "asha")
    assert queries.history(world.connection, "t-1")[-1].seq == seq


def test_a_second_verdict_is_refused_and_changes_nothing(world: DeskWorld) -> None:
    world.scored(payment("t-1"))
    resolve(world.connection, "t-1", "legitimate")
    with pytest.raises(AlreadyResolved, match="already resolved as legitimate by asha"):
        resolve(world.connection, "t-1", "fraud", "omar")
    assert len(world.verdicts()) == 1
    assert cases.case_of(world.connection, "t-1").verdict == "legitimate"
    assert not world.connection.in_transaction


def test_of_many_concurrent_verdicts_exactly_one_is_recorded(world: DeskWorld) -> None:
    world.scored(payment("t-1"))
    refused = []
    ready = threading.Barrier(6)

    def analyst(name: str) -> None:
        connection = connect(world.ledger_path)
        ready.wait()
        try:
            resolve(connection, "t-1", actor=name)
        except AlreadyResolved:
            refused.append(name)
        finally:
            connection.close()

    threads = [threading.Thread(target=analyst, args=(f"analyst-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert len(world.verdicts()) == 1


def test_a_verdict_about_an_unknown_payment_is_refused(world: DeskWorld) -> None:
    with pytest.raises(UnknownCase):
        resolve(world.connection, "t-none")
    assert world.verdicts() == []


def test_the_case_and_the_verdict_stand_or_fall_together(world: DeskWorld) -> None:
    world.scored(payment("t-1"))
    world.connection.execute(
        "CREATE TRIGGER broken BEFORE UPDATE ON cases BEGIN SELECT RAISE(ABORT, 'disk trouble'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        resolve(world.connection, "t-1")
    assert world.verdicts() == []
    assert cases.case_of(world.connection, "t-1").is_open


def test_the_totals_count_open_cases_only(world: DeskWorld) -> None:
    world.scored(payment("t-1", amount_minor=1_000), score=0.5)
    world.scored(payment("t-2", amount_minor=3_000), score=0.5)
    resolve(world.connection, "t-2")
    assert cases.open_totals(world.connection) == (1, 500)


def test_a_payment_that_was_never_scored_risks_its_whole_amount(world: DeskWorld) -> None:
    world.scored(payment("t-1", amount_minor=1_000), score=None)
    assert cases.case_of(world.connection, "t-1").risk_minor == 1_000


@given(
    st.integers(1, 10**12),
    st.sampled_from(tuple(CURRENCIES)),
    st.floats(0, 1, allow_nan=False),
    st.floats(0, 1, allow_nan=False),
)
def test_a_higher_score_never_risks_less(amount: int, currency: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert risk_minor(low, amount, currency, "INR") <= risk_minor(high, amount, currency, "INR")


def test_the_history_of_a_payment_is_found_through_indexes(world: DeskWorld) -> None:
    busy_desk(world)
    statements: list[str] = []
    world.connection.set_trace_callback(statements.append)
    events = queries.history(world.connection, "t-81f3")
    world.connection.set_trace_callback(None)
    assert [event.kind for event in events] == ["payment", "outcome"]
    plan = world.connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}").fetchall()
    assert not [row for row in plan if row[3].startswith("SCAN events")]
