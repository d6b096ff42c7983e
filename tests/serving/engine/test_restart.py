"""A service that was killed starts from a snapshot that was written beside it, and folds a short tail."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from serving.ledger.sqlite.ledger import Ledger
from tests.chaos.proof import prove
from tests.serving.asgi import Asked
from tests.serving.scoring_world import START_MS, Service, payment
from tests.serving.servers import wait_for
from training.client.service_process import free_port

#: Just more than make a snapshot due.
EVENTS = 25_100
TAIL = re.compile(r"([0-9]+) events folded behind the snapshot of event ([0-9]+)")


@pytest.fixture
def var(bundle: Path, tmp_path: Path) -> Path:
    """The folder of a ledger of many decided payments, without a snapshot."""
    var = tmp_path / "var"
    service = Asked(var, bundle, log_decisions="none")
    service.load()
    for number in range(20):
        assert service.ask("POST", "/v1/score", payment(f"s-{number}", START_MS + number)).status_code == 200
    service.close()
    ledger = Ledger(var / "ledger.sqlite")
    source = [event for event in ledger.walk() if event.kind == "payment"]
    rows = []
    for number in range(EVENTS):
        event = source[number % len(source)]
        name = f"t-{number:06d}"
        body = event.body.replace(f'"{event.transaction_id}"'.encode(), f'"{name}"'.encode())
        rows.append((event.kind, name, event.event_time_ms, event.arrival_time_ms, body))
    ledger.append_many(rows)
    ledger.close()
    shutil.rmtree(var / "snapshots")
    return var


def started(var: Path, bundle: Path) -> Service:
    service = Service(var, bundle, free_port(), var.parent / "service.log", RISKGATE_LOG_DECISIONS="none")
    service.wait_until_ready()
    return service


def writers(service: Service) -> list[str]:
    """The processes beside this service that have begun to write a snapshot: the system would end them first."""
    children = []
    for path in Path(f"/proc/{service.process.pid}/task").glob("*/children"):
        children += path.read_text().split()
    return [one for one in children if Path(f"/proc/{one}/oom_score_adj").read_text() == "1000\n"]


def age_events(service: Service) -> float:
    found = re.search(r"^riskgate_snapshot_age_events ([0-9.e+]+)$", service.client.get("/metrics").text, re.M)
    assert found is not None
    return float(found[1])


def test_a_killed_service_starts_from_the_snapshot_that_was_written_beside_it(var: Path, bundle: Path) -> None:
    service = started(var, bundle)
    assert age_events(service) > EVENTS
    wait_for(lambda: writers(service) != [], "the process that writes a snapshot")
    (writer,) = writers(service)
    service.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{writer}/fd/0"), "its end with the service")

    service = started(var, bundle)
    wait_for(lambda: age_events(service) < EVENTS, "a snapshot", seconds=60)
    answers = {}
    for number in range(5):
        answers[f"n-{number}"] = service.score(payment(f"n-{number}", START_MS + 1_000 + number)).json()
    service.kill()

    service = started(var, bundle)
    try:
        first, second, third = TAIL.findall(service.log.read_text())
        assert int(first[1]) == int(second[1]) == 0 and int(first[0]) > EVENTS
        assert int(third[1]) >= EVENTS and int(third[0]) <= 10
        assert age_events(service) <= 10
        # What was decided long before the snapshot is still known, and what came after it too.
        for name, moment in (("s-3", START_MS + 3), ("n-2", START_MS + 1_002)):
            assert service.score(payment(name, moment)).headers["Idempotent-Replay"] == "true"
    finally:
        assert service.stop() == 0
    assert "Traceback" not in service.log.read_text()
    assert not list((var / "snapshots").glob("*.partial"))
    proof = prove(var, answers)
    assert (proof.lost, proof.state_mismatches) == (0, 0)
