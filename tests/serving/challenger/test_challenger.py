"""A challenger scores the payments of the champion from the same vectors and never delays a reply."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.bundle.bundle import read_bundle, write_bundle
from serving.challenger.comparison import of_rows, stability
from serving.challenger.shadow_scores import ShadowScore, ShadowScores
from serving.errors import CannotStart
from serving.store_config import LedgerConfig
from tests.serving.load import calling
from tests.serving.scoring_world import Service, payment, running, suspicious


@pytest.fixture(scope="module")
def challenger(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The champion's model under another name, with thresholds that decide differently."""
    good = read_bundle(bundle)
    policy = msgspec.structs.replace(good.policy, challenge_at=0.0001, review_at=0.0002, decline_at=0.0003)
    other = msgspec.structs.replace(good, version="2", policy=policy)
    return write_bundle(other, tmp_path_factory.mktemp("challenger") / "risk")


def until(holds: Callable[[], bool], patience_seconds: float = 60) -> None:
    deadline = time.monotonic() + patience_seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def scored(service: Service) -> float:
    return metric(service, "riskgate_challenger_scored_total")


def metric(service: Service, name: str) -> float:
    rows = service.client.get("/metrics").text.splitlines()
    return next((float(row.rpartition(" ")[2]) for row in rows if row.startswith(name + " ")), 0.0)


def process_of(service: Service) -> int:
    """The challenger's process: the child of the service that is not multiprocessing's tracker."""
    for thread in Path(f"/proc/{service.process.pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
    raise AssertionError("the challenger has no process")


def test_a_challenger_scores_the_same_vectors_even_after_it_was_held_up_and_killed(
    bundle: Path, challenger: Path, tmp_path: Path
) -> None:
    with running(tmp_path, bundle, RISKGATE_CHALLENGER=str(challenger)) as service:
        until(lambda: "scores the champion's payments" in service.log.read_text())
        for place in range(20):
            make = suspicious if place % 5 == 0 else payment
            assert service.score(make(f"c-{place}", payer_id=f"u-{place}")).status_code == 200
        until(lambda: scored(service) == 20)

        # A stopped challenger delays no payment, and nothing is dropped.
        pid = process_of(service)
        os.kill(pid, signal.SIGSTOP)
        with calling(service.port, lanes=2) as callers:
            callers.wait_for(200)
        total = 20 + len(callers.heard.answers)
        assert not callers.heard.refusals
        assert {answer["model"] for answer in callers.heard.answers.values()} == {"risk@1"}
        assert metric(service, "riskgate_challenger_lag_events") >= 200
        os.kill(pid, signal.SIGCONT)
        until(lambda: scored(service) == total)

        os.kill(pid, signal.SIGKILL)
        service.score(payment("after"))
        until(lambda: scored(service) == total + 1)
        assert process_of(service) != pid
        done = service.command("compare", "--report", str(tmp_path / "compare.json"))
        assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "compare.json").read_text())
    assert figures["payments"] == total + 1
    assert figures["agreement"] < 0.5  # its thresholds are far lower
    # The same model sees the same vectors: the scores are the champion's own, bit for bit.
    assert figures["quantiles"]["champion"] == figures["quantiles"]["challenger"]
    assert abs(figures["population_stability"]) < 1e-9
    assert figures["decisions"]["approve"]["decline"] > 0
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_challenger_can_be_sent_through_the_past_and_twice_changes_nothing(
    bundle: Path, challenger: Path, tmp_path: Path
) -> None:
    with running(tmp_path, bundle) as service:
        for place in range(15):
            service.score(suspicious(f"p-{place}") if place % 3 == 0 else payment(f"p-{place}"))
        service.post(
            "/v1/labels",
            {"transaction_id": "p-0", "label": "fraud", "source": "chargeback", "reported_at": "2026-11-12T00:00:00Z"},
        )
        for _ in range(2):
            done = service.command("challenge", "--bundle", str(challenger))
            assert done.returncode == 0, done.stderr
            assert "15 payments" in done.stderr
        assert "Of 1 known frauds the champion stopped" in done.stderr
        refused = service.command("challenge", "--bundle", str(tmp_path / "nowhere"))
        assert refused.returncode == 2
        assert "RISKGATE_CHALLENGER" in refused.stderr


def test_a_damaged_challenger_is_logged_and_affects_no_payment(bundle: Path, challenger: Path, tmp_path: Path) -> None:
    shutil.copytree(challenger, tmp_path / "spoiled")
    (tmp_path / "spoiled" / "model.txt").write_text("half a model")
    with running(tmp_path, bundle, RISKGATE_CHALLENGER=str(tmp_path / "spoiled")) as service:
        until(lambda: "there is no challenger" in service.log.read_text())
        assert service.score(payment("s-1")).json()["tier"] == "full"
        shutil.copyfile(challenger / "model.txt", tmp_path / "spoiled" / "model.txt")
        until(lambda: "scores the champion's payments" in service.log.read_text())
        service.score(payment("s-2"))
        until(lambda: scored(service) >= 1)


def test_the_comparison_counts_what_each_made_of_known_frauds() -> None:
    rows = [
        ShadowScore(1, "a", 0.9, "decline", "risk@1", 0.2, "approve"),
        ShadowScore(2, "b", 0.1, "approve", "risk@1", 0.8, "decline"),
        ShadowScore(3, "c", 0.1, "approve", "risk@1", 0.1, "approve"),
        ShadowScore(4, "d", None, "challenge", "risk@1", None, "challenge"),
    ]
    found = of_rows("risk@2", rows, {"a": "fraud", "b": "legitimate", "c": "legitimate"})
    assert found.agreement == 0.5
    assert (found.champion_caught.frauds, found.challenger_caught.frauds) == (0, 1)
    assert (found.champion_caught.legitimate, found.challenger_caught.legitimate) == (1, 0)
    assert found.decisions["approve"]["decline"] == 1
    assert "approve became decline: 1" in " ".join(found.sentences())


def test_the_stability_index_grows_as_scores_drift_apart() -> None:
    source = np.random.default_rng(3)
    usual = source.beta(1, 20, 20_000)
    assert stability(usual, source.beta(1, 20, 20_000)) < 0.01
    assert stability(usual, source.beta(2, 20, 20_000)) > 0.2


def test_without_a_challenger_there_is_nothing_to_compare(tmp_path: Path) -> None:
    from serving.challenger.comparison import compare

    ShadowScores(tmp_path / "shadow.sqlite").close()
    with pytest.raises(CannotStart, match="No challenger has scored here"):
        compare(LedgerConfig(tmp_path))


def test_without_a_challenger_the_past_is_not_scored(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving", "challenge"],
        capture_output=True,
        text=True,
        timeout=60,
        env={key: value for key, value in os.environ.items() if not key.startswith("RISKGATE_")}
        | {"RISKGATE_VAR": str(tmp_path)},
    )
    assert done.returncode == 2 and "Set RISKGATE_CHALLENGER" in done.stderr and "Traceback" not in done.stderr
