"""The short form of `make chaos` for the production profile: worker, recorder and Redis die under one load."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.drill import recovered
from tests.chaos.production_faults import redis_cut_off, redis_killed
from tests.chaos.production_rig import ProductionRig
from tests.serving.scoring_world import make_bundle
from tests.serving.telemetry.test_metrics import documented


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionRig]:
    folder = tmp_path_factory.mktemp("chaos")
    one = ProductionRig(folder / "rig", make_bundle(folder / "bundle"), "always")
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
    # And the operators' table knows every metric of a worker and of the recorder.
    for port in (rig.own_ports[1], rig.own_ports[0] - 1):
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        families = list(text_string_to_metric_families(text))
        names = [one.name + ("_total" if one.type == "counter" else "") for one in families if one.samples]
        assert len(set(names)) == len(names), "a metric is exported twice"
        own = {name for name in names if name.startswith("riskgate") and not name.endswith("_created")}
        assert own <= documented().keys(), sorted(own - documented().keys())
    # What was told while Redis was away names no receipt, and is recorded all the same.
    unreceipted = {name for name, answer in answers.items() if answer["receipt_id"] is None}
    assert unreceipted
    assert proof.recorded >= len(answers)
