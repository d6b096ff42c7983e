"""The log is one JSON object a line, leads to receipts, and says nothing of a person."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.telemetry.decision_log import LINES_PER_WRITE, MOST_LINES, REPORT_AFTER, DecisionLog
from serving.telemetry.logs import JsonLines, TextLines, safe_text
from tests.serving.asgi import runtime_with
from tests.serving.scoring_world import payment, running, suspicious

PERSON = {
    "payer_id": "payer-secret-1", "instrument_id": "vpa-secret-2", "payee_id": "payee-secret-3",
    "device_id": "device-secret-4", "ip": "198.51.100.77", "latitude": 12.987654, "longitude": 77.123456,
}  # fmt: skip


def test_json_lines_hold_receipt_ids_and_no_personal_data(bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path, bundle, RISKGATE_LOG="json", RISKGATE_LOG_DECISIONS="all") as service:
        receipts = [service.score(suspicious("log-1", **PERSON)).json()["receipt_id"]]
        receipts.append(service.score(payment("log-2", **PERSON)).json()["receipt_id"])
        refused = service.score(payment("log-3", **PERSON | {"amount_minor": "payer-secret-9"}))
        assert refused.status_code == 422
        assert service.score(payment("log-1", **PERSON)).status_code == 409
        service.client.post("/v1/score", content=b'{"payer_id": "payer-secret-1"')
        moment = "2026-11-11T00:00:04Z"
        service.post("/v1/outcomes", {"transaction_id": "log-1", "outcome": "declined", "event_time": moment})
        service.client.get("/v1/receipts/log-1")
    text = service.log.read_text()
    rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= row.keys() for row in rows)
    decided = [row for row in rows if row["message"] == "decided"]
    assert [row["receipt_id"] for row in decided] == receipts
    assert {row["decision"] for row in decided} >= {"approve"}
    for secret in (*PERSON.values(), "payer-secret-9", "secret", "12.98", "77.12"):
        assert str(secret) not in text


def test_only_notable_decisions_have_a_line_unless_asked(bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path, bundle) as service:
        flagged = service.score(suspicious("n-1", payer_id="u-blocked")).json()["receipt_id"]
        approved = service.score(payment("n-2")).json()["receipt_id"]
    text = service.log.read_text()
    assert f"receipt_id={flagged}" in text
    assert approved not in text


@pytest.fixture
def said() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    log, stream = logging.Logger("riskgate.test"), io.StringIO()
    log.addHandler(logging.StreamHandler(stream))
    yield log, stream


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_the_text_of_an_unexpected_error_stays_out_of_the_log(
    said: tuple[logging.Logger, io.StringIO], lines: logging.Formatter
) -> None:
    log, stream = said
    log.handlers[0].setFormatter(lines)
    try:
        {}["payer-secret-1"]
    except KeyError:
        log.exception("something broke")
    assert "KeyError" in stream.getvalue()
    assert "test_logs.py" in stream.getvalue()  # where, but not with what
    assert "payer-secret-1" not in stream.getvalue()


def test_an_error_that_names_only_files_keeps_its_text() -> None:
    assert safe_text(FileNotFoundError(2, "gone", "model.txt")) == "FileNotFoundError: [Errno 2] gone: 'model.txt'"


def test_a_flood_of_decisions_is_cut_and_counted(bundle: Path, tmp_path: Path) -> None:
    from serving.decision.decider import Decided
    from serving.settings import Settings
    from tests.serving.state.test_bundle_watcher import engine_of

    runtime = runtime_with(Settings(var=tmp_path / "var", clock="replay"), bundle)
    runtime.load()
    kept: list[Decided] = []
    engine_of(runtime).decider.notice = kept.append
    import asyncio

    from features.intake.parse import payment_from

    async def once() -> None:
        await engine_of(runtime).answer(payment_from(payment("flood"), engine_of(runtime).catalogue), 0)
        await runtime.end()

    asyncio.run(once())
    stream = io.StringIO()
    log = DecisionLog("all", "json", stream)
    for _ in range(MOST_LINES + 25):
        log.note(kept[0])
    log.write()
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(rows) == MOST_LINES + 1
    assert (rows[-1]["message"], rows[-1]["count"]) == ("decisions left out", 25)

    stream.seek(0)
    stream.truncate()
    for _ in range(MOST_LINES + 3):
        log.note(kept[0])
    log.write(LINES_PER_WRITE)
    assert stream.getvalue().count("\n") == LINES_PER_WRITE, (
        "a few at a time; the count of those left out comes when the queue is empty"
    )
    log.left_out += REPORT_AFTER
    log.write(LINES_PER_WRITE)
    assert f'"count":{REPORT_AFTER + 3}' in stream.getvalue().replace(" ", "")
