"""What cannot be folded is set aside and named: the service starts, scores, and every reader agrees about it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from features.catalogue.catalogue import catalogue
from serving.audit.export_history import export
from serving.audit.export_vectors import export_vectors
from serving.audit.verify import VerifyResult, verify_ledger
from serving.ledger.open import opened
from serving.ledger.sqlite.ledger import Ledger
from serving.state.fold import Fold
from serving.state.foldable import CannotFold, checked_step_of, step_of
from serving.state.startup import fold_ledger
from serving.store_config import LedgerConfig
from tests.serving.scoring_world import PARAMETERS, START_MS, Service, command, payment, rfc3339, running, suspicious
from tests.serving.state.broken_events import broken_events

NAMES = sorted(broken_events(b'{"payment":{}}'))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    """The folder of a service that scored a little and stopped."""
    folder = tmp_path_factory.mktemp("honest")
    with running(folder, bundle) as service:
        traffic(service, "p")
    return folder / "var"


def traffic(service: Service, prefix: str, at_ms: int = START_MS) -> None:
    for place in range(12):
        make = suspicious if place % 5 == 0 else payment
        assert service.score(make(f"{prefix}-{place}", at_ms + place * 700)).json()["receipt_id"]
    assert report(service, f"{prefix}-3", at_ms + 9_000).status_code == 200


def report(service: Service, name: str, at_ms: int) -> httpx.Response:
    fields = {"transaction_id": name, "label": "fraud", "source": "chargeback", "reported_at": rfc3339(at_ms)}
    return service.post("/v1/labels", fields)


def honest_body(var: Path) -> bytes:
    with opened(LedgerConfig(var)) as ledger:
        event = ledger.payment("p-1")
    assert event is not None
    return event.body


def copied(honest: Path, folder: Path, *names: str) -> tuple[Path, list[int]]:
    """A copy of the ledger with these broken events behind it, and their numbers; the snapshots stay."""
    var = folder / "var"
    shutil.copytree(honest, var)
    broken = broken_events(honest_body(honest))
    connection = sqlite3.connect(var / "ledger.sqlite")
    insert = "INSERT INTO events(kind, transaction_id, event_time_ms, arrival_time_ms, body) VALUES (?, ?, ?, ?, ?)"
    seqs = [int(connection.execute(insert, broken[name]).lastrowid or 0) for name in names]
    connection.commit()
    connection.close()
    return var, seqs


def folded(var: Path) -> Fold:
    ledger = Ledger(var / "ledger.sqlite", read_only=True)
    try:
        return fold_ledger(ledger, catalogue(PARAMETERS), LedgerConfig(var))
    finally:
        ledger.release()


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_event_changes_nothing_and_is_named_without_its_values(name: str, honest: Path) -> None:
    known = catalogue(PARAMETERS)
    fold, twin = Fold(known, honest / "segments"), Fold(known, honest / "segments")
    with opened(LedgerConfig(honest)) as ledger:
        for event in ledger.walk():
            assert fold.apply(event) and twin.apply(event)
    broken = event._make((999, *broken_events(honest_body(honest))[name]))
    assert not fold.apply(broken)
    assert fold.set_aside.count == 1
    (one,) = fold.set_aside.named()
    assert (one.seq, one.kind) == (999, broken.kind)
    for value in ("u-42", "vpa-42", "pigeon", "XTS", "food", "three", "stolen", "champion"):
        assert value not in one.reason
    assert fold.state.heap[: fold.state.heap[0]].tobytes() == twin.state.heap[: twin.state.heap[0]].tobytes()
    assert len(fold.profiles) == 0 and fold.segment is None
    with pytest.raises(CannotFold):
        checked_step_of(broken, known)


def test_what_the_service_writes_can_be_folded(honest: Path) -> None:
    with opened(LedgerConfig(honest)) as ledger:
        for event in ledger.walk():
            step_of(event, catalogue(PARAMETERS))
            checked_step_of(event, catalogue(PARAMETERS))


def test_verify_counts_them_separately_and_export_leaves_them_out(honest: Path, tmp_path: Path) -> None:
    rows = export(LedgerConfig(honest), tmp_path / "before.parquet")
    var, seqs = copied(honest, tmp_path, *NAMES)
    result = verify_ledger(LedgerConfig(var))
    assert (result.mismatches, result.differences, result.payments) == (0, [], 12)
    assert [one.seq for one in result.set_aside.named()] == seqs
    assert (result.unexplained(()), result.unexplained(seqs), result.unexplained(seqs[1:])) == (len(seqs), 0, 1)
    assert f"{len(seqs)} cannot be folded" in result.sentence()
    assert export(LedgerConfig(var), tmp_path / "history.parquet") == rows
    assert export_vectors(LedgerConfig(var), tmp_path / "vectors.parquet") == 12
    assert VerifyResult().sentence().endswith("nothing to compare.")


def test_a_start_from_a_snapshot_reports_them_again(honest: Path, tmp_path: Path) -> None:
    var, seqs = copied(honest, tmp_path, "payment-country-of-one-letter", "outcome-no-json", "label-unknown-word")
    first = folded(var)
    assert [one.seq for one in first.set_aside.named()] == seqs
    first.state.save(var / "snapshots" / f"state-{seqs[-1]:012d}.state")
    again = folded(var)
    assert again.set_aside.named() == first.set_aside.named()
    assert again.state.entities() == first.state.entities()


def test_the_service_starts_reports_them_and_keeps_serving(honest: Path, tmp_path: Path, bundle: Path) -> None:
    var, seqs = copied(honest, tmp_path, *NAMES)
    with running(tmp_path, bundle) as service:
        notes = service.client.get("/readyz").json()
        assert notes["ready"] and str(seqs[0]) in notes["notes"]["set_aside"]
        assert f"riskgate_events_set_aside {len(seqs)}.0" in service.client.get("/metrics").text
        text = service.log.read_text()
        assert all(f"event {seq} (" in text for seq in seqs)
        traffic(service, "q", START_MS + 60_000)
        # A payment whose own event is broken still gets a decision, and its receipt a sentence.
        answer = service.score(payment("payment-no-json", START_MS + 70_000)).json()
        assert (answer["receipt_id"], answer["missing"]) == (None, ["ledger"])
        refused = report(service, "payment-no-json", START_MS + 70_000)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "cannot_fold")
        assert service.client.get("/v1/receipts/payment-no-json").json()["error"]["code"] == "broken_receipt"
        # A transaction with broken reports accepts new ones.
        assert report(service, "p-1", START_MS + 71_000).status_code == 200
        service.kill()
    with running(tmp_path, bundle) as service:
        assert service.client.get("/readyz").json()["notes"] == notes["notes"]
        assert service.stop() == 0
    environment = {"RISKGATE_VAR": str(var)}
    done = command(environment, "verify")
    assert done.returncode == 1
    assert " ".join(done.stderr.split()).count("cannot be folded and is set aside") == len(seqs)
    assert "no difference" in done.stderr
    explained = [word for seq in seqs for word in ("--explained", str(seq))]
    assert command(environment, "verify", *explained).returncode == 0


def test_a_missing_history_is_still_fatal(tmp_path: Path) -> None:
    body: dict[str, Any] = {"sha256": "a" * 64, "rows": 1, "first_ms": 1, "last_ms": 1, "until_ms": 2, "source": "x"}
    ledger = Ledger(tmp_path / "other" / "ledger.sqlite")
    ledger.append_now("history", "", 1, 1, msgspec.json.encode(body))
    ledger.close()
    with pytest.raises(Exception, match="Put the file back from a backup"):
        folded(tmp_path / "other")
