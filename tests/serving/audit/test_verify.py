"""`verify` finds nothing in an honest ledger, and any tampering in a dishonest one."""

from __future__ import annotations

import base64
import shutil
import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.errors import BrokenBundle
from serving.audit.verify import VerifyResult, verify_ledger
from serving.decision.vector_codec import vector_bytes, vector_from
from serving.store_config import LedgerConfig
from tests.serving.scoring_world import START_MS, Service, payment, rfc3339, running, suspicious


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    """The folder of a service that scored payments, received outcomes and labels, and stopped."""
    folder = tmp_path_factory.mktemp("honest")
    with running(folder, bundle) as service:
        fill(service)
    return folder / "var"


def fill(service: Service) -> None:
    for place in range(60):
        make = suspicious if place % 5 == 0 else payment
        # Late arrivals and equal moments included: replay follows the order of arrival.
        moment = START_MS + (place if place % 11 else place - 9) * 700
        service.score(make(f"p-{place}", moment, payer_id=f"u-{place % 6}"), "?explain=1" if place % 4 == 0 else "")
        if place % 9 == 0:
            word = "fraud" if place % 2 else "legitimate"
            service.post(
                "/v1/labels",
                {
                    "transaction_id": f"p-{place}",
                    "label": word,
                    "source": "chargeback",
                    "reported_at": rfc3339(moment + 5),
                },
            )
    service.post(
        "/v1/outcomes", {"transaction_id": "p-3", "outcome": "reversed", "event_time": rfc3339(START_MS + 9_000)}
    )
    service.score(payment("hurried", START_MS + 60_000, deadline_ms=1))
    service.score(payment("blocked", START_MS + 61_000, payer_id="u-blocked"))


def test_an_honest_ledger_has_no_mismatch(honest: Path) -> None:
    result = verify_ledger(LedgerConfig(honest))
    assert (result.payments, result.mismatches, result.differences) == (62, 0, [])
    assert result.vectors >= 60


def tampered(honest: Path, folder: Path, transaction_id: str, old: bytes, new: bytes) -> VerifyResult:
    var = folder / "var"
    shutil.copytree(honest, var)
    connection = sqlite3.connect(var / "ledger.sqlite")
    (body,) = connection.execute(
        "SELECT body FROM events WHERE transaction_id = ? AND kind = 'payment'", (transaction_id,)
    ).fetchone()
    assert body.count(old) >= 1
    connection.execute(
        "UPDATE events SET body = ? WHERE transaction_id = ? AND kind = 'payment'",
        (body.replace(old, new), transaction_id),
    )
    connection.commit()
    connection.close()
    return verify_ledger(LedgerConfig(var))


def test_a_changed_decision_is_found(honest: Path, tmp_path: Path) -> None:
    result = tampered(honest, tmp_path, "blocked", b'"decision":"decline"', b'"decision":"approve"')
    assert result.mismatches == 1
    assert "transaction blocked: decision 'decline' instead of 'approve'" in result.differences[0]


def test_a_changed_amount_is_found_in_it_and_in_the_payments_after_it(honest: Path, tmp_path: Path) -> None:
    result = tampered(honest, tmp_path, "p-1", b'"amount_minor":12500', b'"amount_minor":12501')
    assert result.mismatches > 1
    assert "was served as" in result.differences[0]


def test_a_changed_vector_is_found_to_the_last_bit(honest: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(honest / "ledger.sqlite")
    (body,) = connection.execute("SELECT body FROM events WHERE transaction_id = 'p-2' AND kind = 'payment'").fetchone()
    connection.close()
    written = msgspec.json.decode(body)["receipt"]["vector"]
    vector = vector_from(base64.b64decode(written)).copy()
    vector.view(np.int64)[0] ^= 1  # the lowest bit of the first value's mantissa
    changed = base64.b64encode(vector_bytes(vector)).decode()
    result = tampered(honest, tmp_path, "p-2", written.encode(), changed.encode())
    assert result.mismatches == 1


def test_a_damaged_vector_is_reported_and_does_not_end_the_verification(honest: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(honest / "ledger.sqlite")
    (body,) = connection.execute("SELECT body FROM events WHERE transaction_id = 'p-2' AND kind = 'payment'").fetchone()
    connection.close()
    written = msgspec.json.decode(body)["receipt"]["vector"]
    result = tampered(honest, tmp_path, "p-2", written.encode(), base64.b64encode(b"\xcc").decode().encode())
    assert result.mismatches == 1
    assert "cannot be read: its bytes were changed" in result.differences[0]


def test_a_changed_score_is_found(honest: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(honest / "ledger.sqlite")
    (body,) = connection.execute("SELECT body FROM events WHERE transaction_id = 'p-4' AND kind = 'payment'").fetchone()
    connection.close()
    score = repr(msgspec.json.decode(body)["answer"]["score"])
    result = tampered(honest, tmp_path, "p-4", f'"score":{score}'.encode(), b'"score":0.5')
    assert result.mismatches == 1


def test_a_removed_payment_is_found_in_those_after_it(honest: Path, tmp_path: Path) -> None:
    var = tmp_path / "var"
    shutil.copytree(honest, var)
    connection = sqlite3.connect(var / "ledger.sqlite")
    connection.execute("DELETE FROM events WHERE transaction_id = 'p-1'")
    connection.commit()
    connection.close()
    assert verify_ledger(LedgerConfig(var)).mismatches > 0


def test_a_changed_model_is_found(honest: Path, tmp_path: Path) -> None:
    var = tmp_path / "var"
    shutil.copytree(honest, var)
    (model,) = var.glob("bundles/*/model.txt")
    model.write_text(model.read_text().replace("leaf_value=", "leaf_value=1", 1))
    with pytest.raises(BrokenBundle, match=r"model\.txt does not match the digest"):
        verify_ledger(LedgerConfig(var))
