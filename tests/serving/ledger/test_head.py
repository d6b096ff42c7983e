"""A ledger that is shorter than it once was is named by the start, by /readyz and by verify, until that is accepted."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from serving.audit.verify import verify_ledger
from serving.ledger.completeness import accept_missing
from serving.ledger.head import ACCEPTED, HEAD, read_head
from serving.ledger.sqlite.guard import LedgerGuard
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.wal_preallocate import log_of
from serving.store_config import LedgerConfig
from tests.serving.asgi import Asked
from tests.serving.ledger.damage import flip_frame, frames
from tests.serving.scoring_world import START_MS, Service, payment, running
from tests.serving.servers import wait_for
from training.client.service_process import free_port


def kept(var: Path, events: int) -> Ledger:
    """A ledger with events and its head."""
    ledger = Ledger(var / "ledger.sqlite")
    guard = LedgerGuard(ledger.path)
    guard.begin(ledger)
    for place in range(events):
        ledger.append_now("payment", f"t-{place}", place, place, b"{}")
    guard.end(ledger)
    ledger.close()
    return ledger


def change(var: Path, sql: str) -> None:
    with closing(sqlite3.connect(var / "ledger.sqlite")) as connection:
        connection.execute(sql)
        connection.commit()


def opened_again(var: Path) -> LedgerGuard:
    guard = LedgerGuard(var / "ledger.sqlite")
    ledger = Ledger(guard.path)
    guard.begin(ledger)
    ledger.close()
    return guard


def test_a_ledger_that_grew_is_complete(tmp_path: Path) -> None:
    kept(tmp_path, 5)
    assert read_head(tmp_path).seq == 5
    change(tmp_path, "INSERT INTO events VALUES (6, 'payment', 't-6', 1, 1, x'7b7d')")
    guard = opened_again(tmp_path)
    assert (guard.completeness(), guard.head.seq) == ("ok", 6)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("DELETE FROM events WHERE seq > 3", "The ledger ends at event 3 and once ended at event 5 (digest "),
        ("DELETE FROM events WHERE seq > 4", ": 1 event is missing."),
        ("DELETE FROM events", "The ledger ends at event 0 and once ended at event 5"),
        ("DROP TABLE events", "The ledger ends at event 0 and once ended at event 5"),
        ("UPDATE events SET body = x'00' WHERE seq = 5", "The ledger holds another event 5"),
        ("UPDATE events SET seq = 9 WHERE seq = 5", "The ledger no longer holds event 5"),
    ],
)
def test_what_a_ledger_lacks_is_named_at_start_until_it_is_accepted(tmp_path: Path, sql: str, sentence: str) -> None:
    kept(tmp_path, 5)
    change(tmp_path, sql)
    guard = opened_again(tmp_path)
    assert sentence in guard.completeness()
    assert "accept-ledger" in guard.completeness()
    # Later starts say it too, however long the ledger is by then.
    kept(tmp_path, 0)
    change(tmp_path, "INSERT INTO events VALUES (20, 'payment', 'later', 1, 1, x'7b7d')")
    again = opened_again(tmp_path)
    assert sentence in again.completeness()
    assert any(sentence in one for one in accept_missing(LedgerConfig(tmp_path)))
    again.look()
    assert again.completeness() == "ok"
    assert opened_again(tmp_path).completeness() == "ok"
    assert accept_missing(LedgerConfig(tmp_path)) == []


def test_a_head_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    kept(tmp_path, 5)
    (tmp_path / HEAD).write_bytes(b"{")
    assert f"{HEAD} could not be read" in opened_again(tmp_path).completeness()


def test_the_head_follows_within_one_look_and_costs_the_writer_nothing(tmp_path: Path) -> None:
    guard = LedgerGuard(tmp_path / "ledger.sqlite")
    ledger = Ledger(guard.path)
    guard.begin(ledger)
    ledger.append_now("payment", "t-1", 1, 1, b"{}")
    assert read_head(tmp_path).seq == 0
    guard.look()
    assert read_head(tmp_path).seq == 1
    ledger.close()


@contextmanager
def running_unready(folder: Path, bundle: Path) -> Iterator[Service]:
    """The service over `folder/var` once it scores, ready or not."""
    service = Service(folder / "var", bundle, free_port(), folder / "service.log")
    try:
        wait_for(lambda: decides(service), "the service", 90)
        yield service
    finally:
        service.stop()


def decides(service: Service) -> bool:
    with suppress(httpx.TransportError):
        return service.score(payment("probe", START_MS), "?dry_run=1").status_code == 200
    return False


@pytest.fixture
def killed(bundle: Path, tmp_path: Path) -> Iterator[Service]:
    """A service that was killed after 30 payments, and after it kept its head."""
    with running(tmp_path, bundle) as service:
        for place in range(30):
            assert service.score(payment(f"k-{place}", START_MS + place)).json()["receipt_id"]
        wait_for(lambda: read_head(service.var).seq >= 31, "the head", 20)
        service.kill()
        yield service


def test_a_damaged_log_costs_no_decision_and_no_silence(killed: Service, bundle: Path, tmp_path: Path) -> None:
    ledger = killed.var / "ledger.sqlite"
    once = read_head(killed.var).seq
    broken = frames(ledger) // 2
    flip_frame(ledger, broken)
    damaged = log_of(ledger).read_bytes()
    refused = killed.command("verify")
    assert refused.returncode == 2
    assert f"ledger.sqlite-wal is damaged at frame {broken} (page" in refused.stderr
    assert "Traceback" not in refused.stderr
    with running_unready(tmp_path, bundle) as service:
        ready = service.client.get("/readyz")
        assert ready.status_code == 503
        told = ready.json()["checks"]["ledger_complete"]
        assert f"damaged at frame {broken} (page" in told
        assert f"once ended at event {once}" in told
        assert service.score(payment("after", START_MS + 60_000)).json()["receipt_id"]
        (copy,) = service.var.glob("ledger.sqlite-wal.damaged-*")
        assert copy.read_bytes() == damaged
        ended = service.command("verify")
        assert ended.returncode == 1
        assert f"once ended at event {once}" in ended.stderr
        assert service.command("accept-ledger").returncode == 0
        wait_for(lambda: service.client.get("/readyz").status_code == 200, "/readyz", 20)
        assert service.command("verify").returncode == 0
        assert (service.var / ACCEPTED).exists()


def test_a_log_damaged_under_a_running_service_is_told_and_its_other_events_are_saved(
    bundle: Path, tmp_path: Path
) -> None:
    with running(tmp_path, bundle) as service:
        for place in range(30):
            assert service.score(payment(f"k-{place}", START_MS + place)).json()["receipt_id"]
        ledger = service.var / "ledger.sqlite"
        flip_frame(ledger, frames(ledger) // 2)
        wait_for(lambda: "while the service ran" in service.client.get("/readyz").text, "the damage", 30)
        service.kill()
        ended = service.command("accept-ledger")
        assert ended.returncode == 0, ended.stderr
        assert verify_ledger(LedgerConfig(service.var)).payments >= 29


def test_events_missing_inside_the_ledger_are_found_by_verify(bundle: Path, tmp_path: Path) -> None:
    asked = Asked(tmp_path / "var", bundle)
    asked.load()
    for place in range(6):
        asked.ask("POST", "/v1/score", payment(f"p-{place}", START_MS + place))
    asked.close()
    shutil.rmtree(tmp_path / "var" / "snapshots")
    change(tmp_path / "var", "DELETE FROM events WHERE transaction_id IN ('p-2', 'p-3')")
    config = LedgerConfig(tmp_path / "var")
    (sentence,) = verify_ledger(config).missing
    assert sentence == "Events 5 to 6 of the ledger are missing: 2."
    assert accept_missing(config) == [sentence]
    assert verify_ledger(config).missing == []
