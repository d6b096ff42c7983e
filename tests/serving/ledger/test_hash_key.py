"""With a hash key no file of the service holds a clear instrument or IP address, and nothing else changes."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from features.bundle.bundle import read_bundle, write_bundle
from features.catalogue.catalogue import catalogue
from features.errors import RiskgateError
from features.history.schema import history_schema
from features.intake.parse import payment_from
from features.intake.pseudonyms import Pseudonyms
from features.state.profiles import InstrumentProfile, ProfileFile
from serving.audit.import_history import append_history
from serving.audit.verify import verify_ledger
from serving.errors import CannotStart
from serving.settings import Settings, read_settings
from tests.serving.asgi import runtime_with
from tests.serving.profiles import Profile, both_profiles, figures
from tests.serving.scoring_world import (
    PARAMETERS,
    START_MS,
    Service,
    command,
    history,
    payment,
    rfc3339,
    running,
    suspicious,
)
from training.client.service_process import free_port

pytestmark = pytest.mark.long

KEY = "a hash key for tests, thirty-two or more"
NAMES = Pseudonyms(KEY)
CLEAR = ("vpa-secret-1", "vpa-secret-2", "198.51.100.77", "2001:db8::beef")


def traffic(service: Service) -> list[dict[str, object]]:
    """Answers and vectors of some payments, what a caller or an auditor can see."""
    seen = []
    for place in range(24):
        make = suspicious if place % 5 == 0 else payment
        fields = make(f"h-{place}", START_MS + place * 1_000, instrument_id=CLEAR[place % 2], ip=CLEAR[2 + place % 2])
        answer = service.score(fields).json()
        again = service.score(fields)
        assert again.headers["idempotent-replay"] == "true"
        assert again.json() == answer
        receipt = service.receipt(f"h-{place}")
        seen.append({**answer, "receipt_id": None, "values": receipt["values"], "seen": receipt["receipt"]["seen"]})
    assert service.score(payment("h-1", START_MS, instrument_id="vpa-other")).status_code == 409
    label = {"transaction_id": "h-3", "label": "fraud", "source": "chargeback", "reported_at": rfc3339(START_MS + 9)}
    assert service.post("/v1/labels", label).status_code == 200
    return seen


def files_with_clear_identifiers(folder: Path) -> list[str]:
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(word.encode() in path.read_bytes() for word in (*CLEAR, "vpa-listed"))
    ]


def clear_in(profile: Profile, service: Service) -> list[str]:
    """Where a clear identifier stands: files, Redis, PostgreSQL."""
    held = [place for place, content in profile.held(service) if any(word.encode() in content for word in CLEAR)]
    return [*files_with_clear_identifiers(service.var.parent), *held]


@pytest.fixture(scope="module")
def listed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a key whose block list holds one instrument in clear and one as its pseudonym."""
    folder = tmp_path_factory.mktemp("listed")
    known = read_bundle(bundle)
    block = {**known.policy.block, "instrument": ("vpa-listed", NAMES.instrument("vpa-listed-hashed"))}
    policy = msgspec.structs.replace(known.policy, block=block)
    bundle = write_bundle(msgspec.structs.replace(known, policy=policy), folder / "listed")
    with running(folder, bundle, RISKGATE_HASH_KEY=KEY) as service:
        yield service


def begun(folder: Path, bundle: Path, **environment: str) -> None:
    """A ledger with one payment in it, written without a process of its own."""

    async def run() -> None:
        settings = read_settings({"RISKGATE_VAR": str(folder / "var"), "RISKGATE_CLOCK": "replay", **environment})
        runtime = runtime_with(settings, bundle)
        await runtime.prepare()
        assert runtime.engine is not None
        one = payment_from(payment("k-1"), runtime.engine.catalogue, runtime.names)
        assert (await runtime.engine.answer(one, time.perf_counter_ns())).tier == "full"
        await runtime.end()

    asyncio.run(run())


@both_profiles
def test_answers_and_features_are_the_same_and_nothing_clear_is_kept(
    profile: Profile, bundle: Path, tmp_path: Path
) -> None:
    with profile.running(tmp_path / "clear", bundle) as service:
        clear = traffic(service)
        assert clear_in(profile, service)
    with profile.running(tmp_path / "hashed", bundle, RISKGATE_HASH_KEY=KEY) as service:
        hashed = traffic(service)
        # while it runs: the write-ahead log or the stream too
        assert clear_in(profile, service) == []
        profile.settle(service)
        assert clear_in(profile, service) == []
        stored = service.receipt("h-0")["payment"]
        assert (stored["instrument_id"], stored["ip"]) == (NAMES.instrument(CLEAR[0]), NAMES.ip(CLEAR[2]))
        assert figures(service)["mismatches"] == 0
    assert hashed == clear
    assert files_with_clear_identifiers(tmp_path / "hashed") == []

    environment = {**service.environment, "RISKGATE_HASH_KEY": KEY}
    assert command(environment, "export-history", str(tmp_path / "history.parquet")).returncode == 0
    assert set(pq.read_table(tmp_path / "history.parquet")["instrument_id"].to_pylist()) == {
        NAMES.instrument(one) for one in CLEAR[:2]
    }
    without = command({**environment, "RISKGATE_HASH_KEY": ""}, "verify")
    assert (without.returncode, "RISKGATE_HASH_KEY" in without.stderr) == (2, True)


@pytest.mark.parametrize("entry", ["vpa-listed", "vpa-listed-hashed"], ids=["clear", "hashed"])
def test_a_list_matches_whether_it_holds_clear_values_or_pseudonyms(listed: Service, entry: str) -> None:
    answer = listed.score(payment(f"l-1-{entry}", instrument_id=entry)).json()
    assert answer["rules"] == ["block_list_instrument"]
    assert listed.score(payment(f"l-2-{entry}", instrument_id="vpa-unlisted")).json()["rules"] == []
    assert verify_ledger(Settings(var=listed.var, hash_key=KEY).ledger).mismatches == 0


def test_a_ledger_keeps_its_key_for_good(bundle: Path, tmp_path: Path) -> None:
    begun(tmp_path, bundle, RISKGATE_HASH_KEY=KEY)
    other = "another hash key, thirty-two or more also"
    for environment, sentence in (({"RISKGATE_HASH_KEY": other}, "fingerprint"), ({}, "is not set")):
        service = Service(tmp_path / "var", bundle, free_port(), tmp_path / "refused.log", **environment)
        assert service.process.wait(60) == 3
        log = (tmp_path / "refused.log").read_text()
        assert sentence in log
        assert KEY not in log
        assert other not in log
        (tmp_path / "refused.log").unlink()
        with pytest.raises(CannotStart):
            verify_ledger(Settings(var=tmp_path / "var", hash_key=environment.get("RISKGATE_HASH_KEY", "")).ledger)


def test_a_ledger_of_clear_identifiers_accepts_no_key_later(bundle: Path, tmp_path: Path) -> None:
    begun(tmp_path, bundle)
    service = Service(tmp_path / "var", bundle, free_port(), tmp_path / "refused.log", RISKGATE_HASH_KEY=KEY)
    assert service.process.wait(60) == 3
    assert "holds clear identifiers" in (tmp_path / "refused.log").read_text()


def test_an_imported_history_and_profiles_are_hashed_on_the_way_in(bundle: Path, tmp_path: Path) -> None:
    known = catalogue(PARAMETERS)
    past = history(known, 400)
    instrument = past["instrument_id"][0].as_py()
    pq.write_table(past, tmp_path / "past.parquet")
    assert past.schema.equals(history_schema(PARAMETERS))
    profiles = ProfileFile(tmp_path / "profiles.sqlite")
    profiles.write([(instrument, InstrumentProfile(event_time_ms=1, created_time_ms=1, known_since_ms=1))])
    profiles.close()

    def answers(name: str, **environment: str) -> dict[str, Any]:
        folder = tmp_path / name
        settings = read_settings({"RISKGATE_VAR": str(folder / "var"), **environment})
        append_history(settings.ledger, tmp_path / "past.parquet")
        shutil.copy(tmp_path / "profiles.sqlite", tmp_path / f"{name}.sqlite")
        environment["RISKGATE_PROFILES"] = str(tmp_path / f"{name}.sqlite")
        with running(folder, bundle, **environment) as service:
            service.score(payment("i-1", instrument_id=instrument))
            receipt = service.receipt("i-1")
        assert verify_ledger(settings.ledger).mismatches == 0
        return {**receipt["values"], "seen": receipt["receipt"]["seen"][1]}

    clear, hashed = answers("clear"), answers("hashed", RISKGATE_HASH_KEY=KEY)
    assert hashed == clear
    assert hashed["seen"] > 0
    words = [path.name for path in (tmp_path / "hashed").rglob("*") if path.is_file()
             and f'"{instrument}"'.encode() in path.read_bytes()]  # fmt: skip
    assert words == []
    (segment,) = (tmp_path / "hashed" / "var" / "segments").glob("*.parquet")
    assert set(pq.read_table(segment)["instrument_id"].to_pylist()).isdisjoint(past["instrument_id"].to_pylist())


def test_a_short_key_is_refused_and_a_pseudonym_can_be_asked_for() -> None:
    with pytest.raises(RiskgateError, match="HASH_KEY is shorter"):
        read_settings({"RISKGATE_HASH_KEY": "short"})
    done = command({"RISKGATE_HASH_KEY": KEY}, "hash-id", "ip", "198.51.100.77")
    assert done.stdout.strip() == NAMES.ip("198.51.100.77")
    assert command({}, "hash-id", "ip", "198.51.100.77").returncode == 2
