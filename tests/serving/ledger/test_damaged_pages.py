"""Damaged pages of the SQLite ledger are told in a sentence with its repair, by every command and by the service."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.audit.export_history import export
from serving.audit.verify import verify_ledger
from serving.errors import CannotStart
from serving.ledger.completeness import accept_missing
from serving.ledger.open import damage_refused
from serving.store_config import LedgerConfig
from tests.serving.asgi import Asked
from tests.serving.ledger.damage import PAGE_BYTES, flip, flip_pages
from tests.serving.scoring_world import START_MS, command, environment_of, payment, running, suspicious
from tests.serving.servers import wait_for

PAYMENTS = 40
#: Where the damage is: a page, or an event if SQLite's check gives up before it names a page.
NAMED = re.compile(r"[Pp]age \d+|event \d+ cannot be read")


@pytest.fixture(scope="module")
def whole(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a service that stopped."""
    var = tmp_path_factory.mktemp("whole") / "var"
    asked = Asked(var, bundle)
    asked.load()
    for place in range(PAYMENTS):
        make = suspicious if place % 5 == 0 else payment
        assert asked.ask("POST", "/v1/score", make(f"p-{place}", START_MS + place * 700)).status_code == 200
    asked.close()
    return var


@pytest.fixture
def var(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "var")
    return tmp_path / "var"


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the sentence that refuses it; any other error is a failure of the test."""
    try:
        return call()
    except CannotStart as error:
        return str(error)


def start(var: Path, bundle: Path) -> tuple[dict[str, Any], list[int]]:
    """What `/readyz` says after a start, and the status of every receipt."""
    asked = Asked(var, bundle)
    try:
        with damage_refused(var / "ledger.sqlite"):
            asked.load()
        statuses = [asked.ask("GET", f"/v1/receipts/p-{place}").status_code for place in range(PAYMENTS)]
        asked.runtime.guard.look()
        return asked.ask("GET", "/readyz").json(), statuses
    finally:
        asked.close()


@pytest.mark.parametrize("seed", range(24))
def test_no_damage_raises_anything_but_a_sentence_and_none_shortens_the_ledger_in_silence(
    var: Path, bundle: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    ledger = var / "ledger.sqlite"
    for _ in range(3):
        flip(ledger, rng.randrange(100, ledger.stat().st_size - 700), rng.choice((1, 4, 600)))
    if seed % 2:
        shutil.rmtree(var / "snapshots")
    damaged = ledger.read_bytes()
    verified = outcome(lambda: verify_ledger(LedgerConfig(var)))
    exported = outcome(lambda: export(LedgerConfig(var), tmp_path / "export.parquet"))
    if isinstance(verified, str):
        assert "backup" in verified or "bundle" in verified.lower()
    elif verified.payments != PAYMENTS:
        assert verified.set_aside.count or verified.missing
    if not isinstance(exported, str):
        assert exported + (0 if isinstance(verified, str) else verified.set_aside.count) >= PAYMENTS
    ledger.write_bytes(damaged)
    started = outcome(lambda: start(var, bundle))
    if not isinstance(started, str):
        ready, statuses = started
        assert set(statuses) <= {200, 500, 503} or not ready["ready"]
        assert 503 not in statuses or not ready["ready"]


def test_commands_name_the_pages_and_the_repair(var: Path, bundle: Path, tmp_path: Path) -> None:
    flip_pages(var / "ledger.sqlite", 20, 24)
    environment = environment_of(var, bundle, {})
    for arguments in (("verify",), ("export-history", str(tmp_path / "x.parquet")), ("accept-ledger",)):
        ended = command(environment, *arguments)
        if arguments == ("accept-ledger",) and ended.returncode == 0:
            continue  # it reads no event that is damaged
        assert ended.returncode == 2, ended.stderr
        assert "The ledger ledger.sqlite is damaged" in ended.stderr
        assert NAMED.search(ended.stderr)
        assert "restore the last backup" in ended.stderr
        assert ".dump" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not (tmp_path / "x.parquet").exists()


def test_a_start_that_cannot_fold_ends_with_one_sentence(var: Path, bundle: Path) -> None:
    shutil.rmtree(var / "snapshots")
    flip_pages(var / "ledger.sqlite", 20, 24)
    ended = command(environment_of(var, bundle, {}), "run", "--port", "0")
    assert ended.returncode == 3
    assert "The ledger ledger.sqlite is damaged" in ended.stderr
    assert NAMED.search(ended.stderr)
    assert "Traceback" not in ended.stderr
    assert ".py" not in ended.stderr


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the repair uses the command line of SQLite")
def test_the_repair_of_the_manual_brings_back_all_but_the_damaged_pages(var: Path, bundle: Path) -> None:
    ledger = var / "ledger.sqlite"
    flip_pages(ledger, 20, 21)
    manual = Path("docs/operate.md").read_text()
    (line,) = [one for one in manual.splitlines() if one.startswith("sqlite3 kept.sqlite .dump")]
    ledger.replace(var / "kept.sqlite")
    subprocess.run(["bash", "-c", line], cwd=var, check=True, capture_output=True)
    (var / "recovered.sqlite").replace(ledger)
    result = verify_ledger(LedgerConfig(var))
    assert PAYMENTS - 3 <= result.payments < PAYMENTS
    assert "missing" in result.missing[0]
    accept_missing(LedgerConfig(var))
    ready, statuses = start(var, bundle)
    assert ready["ready"]
    assert set(statuses) == {200, 404}


def test_a_file_cut_short_is_told(var: Path) -> None:
    ledger = var / "ledger.sqlite"
    with ledger.open("r+b") as file:
        file.truncate(ledger.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)
    assert "ledger.sqlite is damaged" in outcome(lambda: verify_ledger(LedgerConfig(var)))


def test_a_running_service_tells_damage_in_receipts_and_readiness_and_decides_on(
    whole: Path, bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "var")
    with running(tmp_path, bundle) as service:
        # A start from a snapshot reads the last pages only.
        flip_pages(tmp_path / "var" / "ledger.sqlite", 20, 35)
        replies = [service.client.get(f"/v1/receipts/p-{place}") for place in range(PAYMENTS)]
        told = [one.json()["error"] for one in replies if one.status_code == 503]
        assert told
        assert "The ledger ledger.sqlite is damaged" in told[0]["message"]
        wait_for(lambda: NAMED.search(service.client.get("/readyz").text), "the pages in /readyz", 20)
        ready = service.client.get("/readyz")
        assert ready.status_code == 503
        assert "restore the last backup" in ready.json()["checks"]["ledger"]
        answer = service.score(payment("after", START_MS + 60_000)).json()
        assert answer["tier"] in ("full", "default")
        assert "Traceback" not in service.log.read_text()
