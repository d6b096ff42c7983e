"""The short form of `make chaos` for the production profile: worker, recorder and Redis die under one load."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.chaos.drill import recovered
from tests.chaos.production_faults import redis_cut_off, redis_killed
from tests.chaos.production_rig import ProductionRig
from tests.serving.scoring_world import make_bundle


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionRig]:
    folder = tmp_path_factory.mktemp("chaos")
    one = ProductionRig(folder / "rig", make_bundle(folder / "bundle"))
    yield one
    one.end()


def test_worker_recorder_and_redis_die_under_load_and_nothing_is_lost_or_doubled(rig: ProductionRig) -> None:
    callers = rig.begin()
    callers.wait_for(60)
    os.kill(rig.child("run", str(rig.own_ports[0])), signal.SIGKILL)
    os.kill(rig.child("recorder"), signal.SIGKILL)
    callers.wait_for(60)
    for fault in (redis_killed, redis_cut_off):
        assert recovered(callers.heard, fault(rig)) < 30
    callers.wait_for(60)
    answers = callers.end().answers
    proof = rig.prove(answers)
    assert proof.holds, proof
    assert proof.acknowledged > 150
    # What was told while Redis was away names no receipt, and is recorded all the same.
    unreceipted = {name for name, answer in answers.items() if answer["receipt_id"] is None}
    assert unreceipted
    assert proof.recorded >= len(answers)
