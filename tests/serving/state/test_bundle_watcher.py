"""A promoted champion takes over under load: no request is lost, and each receipt is proved with its own bundle."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from features.bundle.bundle import read_bundle, write_bundle
from features.catalogue.catalogue import CatalogueParameters
from serving.audit.verify import verify_ledger
from serving.decision.receipt import decode_body
from serving.engine.embedded.engine import EmbeddedEngine
from serving.engine.embedded.runtime import EmbeddedRuntime
from serving.ledger.event_bodies import decode_promotion
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import Settings
from serving.state.startup import open_bundle
from serving.store_config import LedgerConfig
from tests.serving.asgi import runtime_with
from tests.serving.full_disk import full_disk
from tests.serving.load import calling
from tests.serving.scoring_world import START_MS, Service, make_bundle, payment, running


def version(source: Path, number: str, folder: Path) -> Path:
    """The same model as another version, with other thresholds: a policy change is a promotion too."""
    bundle = read_bundle(source)
    at = 0.3 + int(number) / 1_000
    policy = msgspec.structs.replace(bundle.policy, challenge_at=at)
    return write_bundle(msgspec.structs.replace(bundle, version=number, policy=policy), folder)


def put(source: Path, served: Path) -> None:
    """Lay a bundle where the service looks, file by file as a copy does."""
    served.mkdir(exist_ok=True)
    for name in ("model.txt", "policy.json", "contract.json", "bundle.json"):
        shutil.copyfile(source / name, served / name)


def metric(service: Service, line: str) -> float:
    text = service.client.get("/metrics").text
    found = [row for row in text.splitlines() if row.startswith(line + " ")]
    return float(found[0].split()[-1]) if found else 0.0


def until(holds: Callable[[], bool], patience_seconds: float = 20) -> None:
    deadline = time.monotonic() + patience_seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_champions_change_under_load_without_a_lost_request_and_every_decision_verifies(
    bundle: Path, tmp_path: Path
) -> None:
    versions = [version(bundle, str(number), tmp_path / f"v{number}") for number in (1, 2, 3)]
    served = tmp_path / "served"
    put(versions[0], served)
    order = (1, 2, 0, 1)  # forward twice, back to the first, forward again
    with running(tmp_path, served, RISKGATE_SWAP_SECONDS="1") as service, calling(service.port) as callers:
        callers.wait_for(50)
        for place in order:
            before = metric(service, 'riskgate_bundle_swaps_total{result="taken"}')
            put(versions[place], served)
            service.process.send_signal(signal.SIGHUP)
            until(lambda before=before: metric(service, 'riskgate_bundle_swaps_total{result="taken"}') > before)
            name = f"risk@{place + 1}"
            assert service.score(payment(f"after-{before:.0f}")).json()["model"] == name
            callers.wait_for(50)
        heard = callers.end()
        assert not heard.unanswered
        assert not heard.refusals
        models = {answer["model"] for answer in heard.answers.values()}
        assert models == {"risk@1", "risk@2", "risk@3"}
        assert 'riskgate_bundle_info{bundle="' in service.client.get("/metrics").text
    result = verify_ledger(LedgerConfig(tmp_path / "var"))
    assert result.mismatches == 0, result.differences
    assert set(result.models) == models
    assert heard.recorded() <= payments_in_the_order_of_promotions(tmp_path / "var" / "ledger.sqlite")


def payments_in_the_order_of_promotions(path: Path) -> set[str]:
    """Every payment stands behind the promotion of the bundle that decided it and before the next."""
    ledger = Ledger(path, read_only=True)
    now, names = "", set()
    for event in ledger.walk():
        if event.kind == "promotion":
            now = decode_promotion(event.body).model
        elif event.kind == "payment":
            assert json.loads(bytes(decode_body(event.body).answer))["model"] == now
            assert event.transaction_id not in names
            names.add(event.transaction_id)
    ledger.release()
    return names


def test_a_broken_or_foreign_bundle_is_refused_with_a_sentence_and_the_old_one_stays(
    bundle: Path, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    put(bundle, served)
    with running(tmp_path, served, RISKGATE_SWAP_SECONDS="1") as service:
        text = (served / "model.txt").read_text()
        (served / "model.txt").write_text(text[: len(text) // 2])
        until(lambda: metric(service, "riskgate_bundle_refused") == 1)
        ready = service.client.get("/readyz")
        assert ready.status_code == 200
        assert "model.txt does not match the digest" in ready.json()["notes"]["bundle"]
        assert service.score(payment("still")).json()["model"] == "risk@1"

        good = read_bundle(bundle)
        name = good.contract.columns[20][0]
        columns = tuple((one, "otherwise" if one == name else how) for one, how in good.contract.columns)
        foreign = msgspec.structs.replace(good, contract=msgspec.structs.replace(good.contract, columns=columns))
        put(write_bundle(msgspec.structs.replace(foreign, version="9"), tmp_path / "foreign"), served)
        until(lambda: metric(service, 'riskgate_bundle_swaps_total{result="refused"}') == 2)
        assert f"changed `{name}`" in service.client.get("/readyz").json()["notes"]["bundle"]
        assert service.score(payment("still-2")).json()["model"] == "risk@1"

        put(version(bundle, "4", tmp_path / "v4"), served)
        until(lambda: metric(service, "riskgate_bundle_refused") == 0)
        assert service.score(payment("new")).json()["model"] == "risk@4"
        assert "notes" not in service.client.get("/readyz").json()
    log = service.log.read_text()
    assert "risk@1 stays in use" in log
    assert "replaces risk@1 and decides from now on" in log
    assert verify_ledger(LedgerConfig(tmp_path / "var")).mismatches == 0


@pytest.fixture
def runtime(bundle: Path, tmp_path: Path) -> Iterator[EmbeddedRuntime]:
    served = tmp_path / "served"
    put(bundle, served)
    one = runtime_with(Settings(var=tmp_path / "var", clock="replay"), served)
    one.load()
    yield one
    asyncio.run(one.end())


def engine_of(runtime: EmbeddedRuntime) -> EmbeddedEngine:
    assert runtime.engine is not None
    return runtime.engine


def test_a_bundle_that_is_still_being_written_is_left_alone(
    runtime: EmbeddedRuntime, bundle: Path, tmp_path: Path
) -> None:
    served, look = tmp_path / "served", runtime.watcher.check
    put(version(bundle, "5", tmp_path / "v5"), served)
    assert asyncio.run(look()) is False  # seen for the first time: it may not be whole yet
    assert asyncio.run(look()) is True
    assert engine_of(runtime).decider.model == "risk@5"
    assert asyncio.run(look()) is False


@pytest.mark.parametrize("kept", [True, False], ids=["ledger", "copy"])
def test_while_the_disk_is_full_the_new_bundle_waits(
    kept: bool, runtime: EmbeddedRuntime, bundle: Path, tmp_path: Path
) -> None:
    put(version(bundle, "6", tmp_path / "v6"), tmp_path / "served")
    asyncio.run(runtime.watcher.check())
    if kept:
        open_bundle(tmp_path / "served", runtime.settings.ledger)  # its copy is on the disk already
    with full_disk(runtime.ledger.path):
        assert asyncio.run(runtime.watcher.check()) is False
        assert engine_of(runtime).decider.model == "risk@1"
    assert asyncio.run(runtime.watcher.check()) is True
    assert engine_of(runtime).decider.model == "risk@6"


def test_a_model_that_differs_in_name_alone_is_another_bundle(bundle: Path, tmp_path: Path) -> None:
    good = read_bundle(bundle)
    assert msgspec.structs.replace(good, version="2").digest != good.digest


def test_a_stopping_service_answers_accepted_requests_and_closes_connections(bundle: Path, tmp_path: Path) -> None:
    quick = {"RISKGATE_DRAIN_SECONDS": "1"}
    with running(tmp_path, bundle, **quick) as service, calling(service.port, lanes=6) as callers:
        callers.again = False
        callers.wait_for(100)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: stopping(service), 5)
        assert service.process.wait(30) == 0
        heard = callers.end()
    ledger = Ledger(tmp_path / "var" / "ledger.sqlite", read_only=True)
    names = {event.transaction_id for event in ledger.walk() if event.kind == "payment"}
    ledger.release()
    # What was taken up was answered, and what was not answered was not taken up.
    assert names == set(heard.answers)
    assert not heard.refusals
    assert not names & set(heard.unanswered)
    assert "the port closes" in service.log.read_text()


def stopping(service: Service) -> bool:
    try:
        reply = httpx.get(f"http://127.0.0.1:{service.port}/readyz", timeout=5)
    except httpx.TransportError:
        return True
    if reply.status_code == 503:
        assert reply.headers["connection"] == "close"
        assert reply.json()["checks"]["service"] == "The service is stopping."
        return True
    return False


def test_a_restart_with_other_features_folds_the_past_again_and_verify_agrees(bundle: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", version="2", parameters=CatalogueParameters())
    with running(tmp_path, bundle) as service:
        for place in range(5):
            service.score(payment(f"a-{place}", START_MS + place))
    with running(tmp_path, other) as service:
        for place in range(5):
            reply = service.score(payment(f"b-{place}", START_MS + 10 + place, attributes=None)).json()
            assert (reply["model"], reply["tier"]) == ("risk@2", "full")
        assert service.receipt("b-0")["values"]["payer_count_24h"] == 5  # the past counts
    with running(tmp_path, bundle) as service:  # and back
        service.score(payment("c-0", START_MS + 20))
        assert service.receipt("c-0")["values"]["payer_count_24h"] == 10
    result = verify_ledger(LedgerConfig(tmp_path / "var"))
    assert (result.mismatches, result.vectors) == (0, 11), result.differences
