"""The review desk on PostgreSQL: the same queue and cases, and a verdict that counts once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from serving.cases.cases import AlreadyResolved, UnknownCase
from serving.cases.postgres import PostgresCases
from serving.console.auth.permission import Actor
from serving.console.desk import Desk
from serving.errors import Conflict, LedgerUnavailable
from serving.feedback.reports import LabelReport
from serving.ledger.postgres import schema
from serving.ledger.postgres.session import first_session
from serving.recorder.metrics import RecorderMetrics
from serving.recorder.recorder import Recorder
from serving.recorder.verdicts import label_verdicts
from tests.serving.console.desk_world import START_MS
from tests.serving.recorder.stream_world import Stream, settings_of, take_down
from tests.serving.servers import Servers

ASHA = Actor("asha", "analyst")


@pytest.fixture
def stream(servers: Servers) -> Stream:
    schema.prepare(servers.postgres_url, servers.prefix)
    return Stream(servers)


@pytest.fixture
def desk(servers: Servers, stream: Stream, tmp_path: Path) -> Iterator[Desk]:
    stream.scored("t-small", "review", amount_minor=1_000_000)
    stream.scored("t-large", "decline", amount_minor=9_000_000, payer_id="u-2")
    one = stream.scored("t-fine", "approve", event_time_ms=START_MS + 5)
    stream.admitted("t-undecided", event_time_ms=START_MS + 6)
    stream.reported("label", one, "legitimate", "customer_report")
    take_down(servers)
    yield Desk(PostgresCases(settings_of(servers).ledger), tmp_path / "desk.sqlite", replay_clock=True)


def queue(desk: Desk, **wanted: object) -> list[str]:
    asked = {"status": "open", "decision": None, "find": None, "page": 1, **wanted}
    return [case.transaction_id for case in desk.queue(ASHA, **asked).cases]  # type: ignore[arg-type]


def test_the_queue_shows_open_cases_by_money_at_risk(desk: Desk) -> None:
    assert queue(desk) == ["t-large", "t-small"]
    assert queue(desk, decision="review") == ["t-small"]
    assert queue(desk, status=None, find="u-2") == ["t-large"]
    assert queue(desk, find="nobody") == []
    view = desk.queue(ASHA, status="open", decision=None, find=None, page=1)
    assert (view.open_count, view.open_risk_minor) == (2, 100_000)
    assert view.now_ms == START_MS + 6


def test_a_case_shows_what_the_ledger_knows_of_its_parties(desk: Desk) -> None:
    view = desk.case(ASHA, "t-small")
    assert [event.kind for event in view.events] == ["payment"]
    assert [event.transaction_id for event in view.recent["payer"]] == ["t-undecided", "t-fine", "t-small"]
    assert [report.kind for report in view.reports] == ["label"]
    assert view.unread == 0
    with pytest.raises(UnknownCase):
        desk.case(ASHA, "t-fine")


def test_a_verdict_closes_its_case_for_everybody_at_once(desk: Desk, servers: Servers) -> None:
    assert desk.resolve(ASHA, "t-small", "fraud", "called the payer") == 1
    assert queue(desk) == ["t-large"]
    view = desk.case(ASHA, "t-small")
    assert (view.case.verdict, view.case.verdict_by, view.case.note) == ("fraud", "asha", "called the payer")
    assert [event.kind for event in view.events] == ["payment", "verdict"]
    with pytest.raises(AlreadyResolved, match="already resolved as fraud by asha"):
        desk.resolve(ASHA, "t-small", "legitimate", "")


def test_of_eight_verdicts_given_at_once_one_counts(desk: Desk, servers: Servers) -> None:
    def give(verdict: str) -> bool:
        with suppress(AlreadyResolved):
            desk.resolve(ASHA, "t-large", verdict, "")
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(give, ["fraud", "legitimate"] * 4))
    assert given.count(True) == 1
    assert servers.rows("SELECT count(*) FROM events WHERE kind = 'verdict'") == [(1,)]


def test_a_verdict_becomes_a_label_once_even_if_the_first_try_fails(desk: Desk, servers: Servers) -> None:
    desk.resolve(ASHA, "t-small", "fraud", "")
    desk.resolve(ASHA, "t-large", "legitimate", "")
    given: list[LabelReport] = []

    def away(report: LabelReport, verdict_seq: int) -> None:
        raise LedgerUnavailable("Redis does not answer.", "")

    def label(report: LabelReport, verdict_seq: int) -> None:
        given.append(report)
        if report.transaction_id == "t-large":
            raise Conflict("A later report says otherwise.", "")

    with first_session(servers.postgres_url) as session:
        with pytest.raises(LedgerUnavailable):
            label_verdicts(session, away)
        assert label_verdicts(session, label) == 2
        assert label_verdicts(session, label) == 0
    assert [(one.transaction_id, one.label, one.source) for one in given] == [
        ("t-small", "fraud", "review"),
        ("t-large", "legitimate", "review"),
    ]


def test_a_server_that_went_away_is_told_as_an_unavailable_ledger(servers: Servers, stream: Stream) -> None:
    cases = PostgresCases(settings_of(servers).ledger)
    cases._url = "postgresql://postgres@127.0.0.1:1/none"
    with cases.opened() as ledger, pytest.raises(LedgerUnavailable):
        ledger.execute("SELECT 1")


def test_recorder_metrics_stand_in_prometheus_text(servers: Servers, stream: Stream) -> None:
    from prometheus_client import generate_latest

    metrics = RecorderMetrics()
    Recorder(settings_of(servers).ledger, settings_of(servers).redis, metrics).stopping.set()
    text = generate_latest(metrics.registry).decode()
    for name in ("entries", "lag", "delay_seconds", "active", "failures_total", "batch_seconds"):
        assert f"riskgate_recorder_{name}" in text
