"""What was acknowledged survives: kill -9, a clean stop, and a start from snapshot and tail give the same state."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pyarrow.parquet as pq
import pytest

from features.catalogue.catalogue import catalogue
from serving.audit.verify import verify_ledger
from serving.cases.cases import Verdict
from serving.ledger.open import opened
from serving.settings import read_settings
from tests.serving.profiles import Profile, both_profiles, figures
from tests.serving.scoring_world import (
    DAY_MS,
    PARAMETERS,
    START_MS,
    Service,
    command,
    environment_of,
    history,
    payment,
    rfc3339,
    running,
    suspicious,
)
from tests.serving.servers import wait_for
from training.client.service_process import free_port

pytestmark = pytest.mark.long


def vector(service: Service, transaction_id: str) -> str:
    found: str = service.receipt(transaction_id)["receipt"]["vector"]
    return found


def traffic(service: Service, prefix: str, count: int = 40) -> None:
    for place in range(count):
        make = suspicious if place % 7 == 0 else payment
        fields = make(
            f"{prefix}-{place}", START_MS + place * 1_000, payer_id=f"u-{place % 5}", payee_id=f"m-{place % 3}"
        )
        assert service.score(fields).status_code == 200
        if place % 10 == 0:
            moment = rfc3339(START_MS + place * 1_000 + 500)
            service.post(
                "/v1/labels",
                {
                    "transaction_id": f"{prefix}-{place}",
                    "label": "fraud",
                    "source": "chargeback",
                    "reported_at": moment,
                },
            )
            service.post(
                "/v1/outcomes", {"transaction_id": f"{prefix}-{place}", "outcome": "declined", "event_time": moment}
            )


#: Of nobody else, so that the load does not change what the probe's features are made of.
OF_THE_LOAD = {"instrument_id": "vpa-load", "payee_id": "m-load", "device_id": "d-load", "ip": "203.0.113.77"}
PROBE = payment("probe", START_MS + 50_000, payer_id="u-1", payee_id="m-1")


class Life(NamedTuple):
    """A service that was killed under load and runs again, with what its first life answered."""

    service: Service
    answered: dict[str, Any]
    before: dict[str, Any]
    acknowledged: list[str]
    counted: float


@pytest.fixture(scope="module")
def life(profile: Profile, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("life")
    with profile.running(folder, bundle) as first:
        traffic(first, "r")
        answered = first.score(payment("last", START_MS + 45_000)).json()
        give_a_verdict(profile, first, "v-1", "d-verdict")
        found = counted(profile, first, "v-2")
        before = first.score(PROBE, "?dry_run=1").json()
        acknowledged = killed_under_load(first)
    with profile.running(folder, bundle) as second:
        yield Life(second, answered, before, acknowledged, found)


def killed_under_load(service: Service) -> list[str]:
    """What a service acknowledged before it was killed."""
    acknowledged: list[str] = []

    def send(lane: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=10) as client:
            for place in range(10_000):
                fields = payment(f"k-{lane}-{place}", START_MS + 60_000 + place, payer_id="u-load", **OF_THE_LOAD)
                try:
                    if client.post("/v1/score", content=json.dumps(fields)).status_code == 200:
                        acknowledged.append(fields["transaction_id"])
                except httpx.TransportError:
                    return

    with ThreadPoolExecutor(4) as pool:
        lanes = [pool.submit(send, lane) for lane in range(4)]
        while len(acknowledged) < 150:
            assert service.process.poll() is None
            time.sleep(0.005)
        service.kill()
        for lane in lanes:
            lane.result()
    return acknowledged


@both_profiles
def test_a_killed_service_starts_again_with_the_same_state_and_answers(profile: Profile, life: Life) -> None:
    assert life.service.score(PROBE, "?dry_run=1").json() == life.before
    again = life.service.score(payment("last", START_MS + 45_000))
    assert again.json() == life.answered
    assert again.headers["idempotent-replay"] == "true"
    profile.settle(life.service)
    assert verify_ledger(read_settings(life.service.environment).ledger).mismatches == 0


def test_a_start_from_snapshot_and_tail_gives_the_same_state(bundle: Path, tmp_path: Path) -> None:
    probe = payment("probe", START_MS + 50_000, payer_id="u-1", payee_id="m-1")
    with running(tmp_path, bundle) as first:
        traffic(first, "r")
        before = first.score(probe, "?dry_run=1").json()
        assert first.stop() == 0
    # A clean stop writes a snapshot; the next start uses it, the one after a kill also the tail.
    assert list((tmp_path / "var" / "snapshots").glob("state-*.state"))
    with running(tmp_path, bundle) as second:
        assert second.score(probe, "?dry_run=1").json() == before
        traffic(second, "s", 8)
        after = second.score(probe, "?dry_run=1").json()
        second.kill()
    with running(tmp_path, bundle) as third:
        assert third.score(probe, "?dry_run=1").json() == after


@both_profiles
def test_a_service_killed_under_load_loses_nothing_it_acknowledged(profile: Profile, life: Life) -> None:
    profile.settle(life.service)
    with opened(read_settings(life.service.environment).ledger) as ledger:
        found = [event.transaction_id for event in ledger.walk() if event.kind == "payment"]
    proved = verify_ledger(read_settings(life.service.environment).ledger).figures()
    assert len(found) == len(set(found))
    assert len(life.acknowledged) >= 150
    assert set(life.acknowledged) <= set(found)
    assert (proved["mismatches"], proved["payments"]) == (0, len(found) - proved["undecided"])


@pytest.mark.parametrize("profile", ["embedded"], indirect=True, scope="module")
def test_a_second_service_on_the_same_ledger_is_refused(life: Life) -> None:
    done = life.service.command("run", "--port", str(free_port()))
    assert done.returncode != 0
    assert "Another process serves the ledger" in done.stderr


@both_profiles
def test_a_verdict_becomes_one_label_and_enters_the_features(profile: Profile, life: Life, tmp_path: Path) -> None:
    assert life.counted == 1
    assert counted(profile, life.service, "v-3") == 1
    profile.settle(life.service)
    assert life.service.command("verify").returncode == 0
    target = tmp_path / "export.parquet"
    assert life.service.command("export-history", str(target)).returncode == 0
    (row,) = [one for one in pq.read_table(target).to_pylist() if one["transaction_id"] == "v-1"]
    assert (row["label"], row["label_source"]) == ("fraud", "review")


@both_profiles
def test_a_service_that_was_killed_before_ends_in_order_and_its_ledger_is_proved(life: Life) -> None:
    assert life.service.stop() == 0
    assert figures(life.service)["mismatches"] == 0


def give_a_verdict(profile: Profile, service: Service, name: str, device: str) -> None:
    decision = service.score(suspicious(name, device_id=device, payer_id="u-blocked")).json()["decision"]
    assert decision in ("review", "decline")
    profile.settle(service)
    desk = profile.desk(service)
    with desk.opened() as connection:
        desk.resolve(connection, Verdict(name, "fraud", "seen", "asha", START_MS + 5_000, START_MS + 5_000))


def frauds_of(service: Service, device: str, name: str, at_ms: int) -> float:
    """The frauds of a device that a new payment of it sees."""
    service.score(payment(name, at_ms, device_id=device))
    count: float = service.receipt(name)["values"]["device_fraud_count_30d"]
    return count


def counted(profile: Profile, service: Service, prefix: str) -> float:
    """How often the verdict about `v-1` counts once a verdict after it counts: the verdicts were read again by then."""
    turns = itertools.count()

    def counts(device: str) -> bool:
        turn = next(turns)
        return frauds_of(service, device, f"{prefix}-{turn}", START_MS + 10_000 + turn) > 0

    wait_for(lambda: counts("d-verdict"), "the verdict")
    give_a_verdict(profile, service, f"{prefix}-later", f"d-{prefix}")
    wait_for(lambda: counts(f"d-{prefix}"), "the later verdict")
    return frauds_of(service, "d-verdict", f"{prefix}-end", START_MS + 20_000)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("past") / "history.parquet"
    pq.write_table(history(catalogue(PARAMETERS)), path, row_group_size=500)
    return path


@both_profiles
def test_imported_history_is_the_past_of_the_first_payment(
    profile: Profile, bundle: Path, past: Path, tmp_path: Path
) -> None:
    environment = environment_of(tmp_path / "var", bundle, profile.environment(tmp_path))
    assert command(environment, "import-history", str(past)).returncode == 0
    done = command(environment, "import-history", str(past))
    assert done.returncode == 2
    assert "a history is imported once" in done.stderr
    if profile.name == "production":
        assert command(environment, "rebuild-state").returncode == 0
    rows = pq.read_table(past).to_pylist()
    own = [one for one in rows if one["payer_id"] == "u-42"]
    late = next(one for one in rows if one["label"] and one["label_time"] > rows[-1]["event_time"])
    with profile.running(tmp_path, bundle) as service:
        service.score(payment("after", START_MS))
        found = service.receipt("after")
        assert found["receipt"]["seen"][0] >= len(own)
        assert found["values"]["payer_count_30d"] == len(own)
        assert service.score(payment(late["transaction_id"])).status_code == 409
        report: dict[str, Any] = {
            "transaction_id": late["transaction_id"], "label": "fraud", "source": "chargeback",
            "reported_at": rfc3339(START_MS + DAY_MS),
        }  # fmt: skip
        reply = service.post("/v1/labels", report)
        assert reply.status_code == 200
        assert "idempotent-replay" not in reply.headers
        assert service.post("/v1/labels", report).headers["idempotent-replay"] == "true"
        service.score(payment("later", START_MS + DAY_MS + 1, device_id=late["device_id"]))
        assert service.receipt("later")["values"]["device_fraud_count_30d"] == 1
        profile.settle(service)
        verified = service.command("verify")
        assert verified.returncode == 0, verified.stderr
        target = tmp_path / "next.parquet"
        service.command("export-history", str(target))
    table = pq.read_table(target)
    assert table.num_rows == len(rows) + 2
