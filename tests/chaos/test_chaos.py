"""The short form of `make chaos`, and that its proof finds what it is there to find."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.state.memory import State
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import Settings
from tests.chaos.drill import Drill, recovered
from tests.chaos.faults import file_limit, killed, locked_briefly, torn_log
from tests.chaos.proof import _catalogue, prove
from tests.chaos.rig import Rig
from tests.serving.scoring_world import make_bundle
from training.client.service_process import free_port

Struck = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Struck]:
    """A ledger that lived through four faults under load, and all that callers were answered."""
    folder = tmp_path_factory.mktemp("chaos")
    rig, drill = Rig(folder / "rig", make_bundle(folder / "bundle"), free_port()), Drill("several")
    callers = rig.begin()
    try:
        for fault in (file_limit, locked_briefly, killed, torn_log):
            callers.wait_for(60)
            drill.seconds_to_recover.append(recovered(callers.heard, fault(rig)))
        callers.wait_for(60)
        answers = callers.end().answers
        rig.stop()
    finally:
        rig.end()
    yield rig.var, answers


def test_after_faults_under_load_nothing_is_lost_or_doubled_and_the_state_is_the_fold(struck: Struck) -> None:
    var, answers = struck
    proof = prove(var, answers)
    assert proof.holds, proof
    assert proof.acknowledged > 200
    # While the disk took nothing, callers still had decisions, and those promised no receipt.
    assert any(answer["receipt_id"] is None for answer in answers.values())


def test_the_proof_finds_a_lost_and_an_altered_answer(struck: Struck) -> None:
    var, answers = struck
    name = next(name for name, answer in answers.items() if answer["receipt_id"] is not None)
    invented = answers | {"never-recorded": answers[name], name: answers[name] | {"decision": "decline?"}}
    assert prove(var, invented).lost == 2


def test_the_proof_finds_a_state_that_is_not_the_fold(struck: Struck) -> None:
    var, answers = struck
    settings = Settings(var=var)
    ledger = Ledger(settings.ledger.sqlite, read_only=True)
    catalogue = _catalogue(settings, ledger)
    last = [event for event in ledger.walk() if event.kind == "payment"][-1]
    ledger.release()
    path = max((var / "snapshots").glob("state-*.state"))
    kept = path.read_bytes()
    state = State.load(path, catalogue)
    from features.intake.parse import stored_payment
    from serving.decision.receipt import decode_body

    state.apply(stored_payment(decode_body(last.body).payment))  # as if it had been folded twice
    state.save(path)
    try:
        assert prove(var, answers).state_mismatches >= 4
    finally:
        path.write_bytes(kept)


def test_the_proof_finds_an_event_that_vanished(struck: Struck) -> None:
    var, answers = struck
    path = var / "ledger.sqlite"
    kept = path.read_bytes()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM events WHERE seq = (SELECT max(seq) - 5 FROM events)")
    connection.close()
    try:
        proof = prove(var, answers)
        assert not proof.holds
        assert proof.verify_mismatches > 0 or proof.lost > 0
    finally:
        path.write_bytes(kept)
