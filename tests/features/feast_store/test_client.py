"""The Feast repository itself: what is declared, and how the plug-ins answer when something is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.catalogue.catalogue import CatalogueParameters, catalogue
from features.domain.payment import Payment
from features.errors import ContractMismatch, InvalidHistory
from features.state.memory import State
from features.state.profiles import PayerProfile, Profiles

pytestmark = pytest.mark.filterwarnings("ignore")  # Feast and its dependencies warn on import and on use

REPOSITORY = Path(__file__).parents[3] / "features" / "feast_store" / "repo"
KNOWN = catalogue()
NOON_MS = 1_700_000_000_000


def a_payment(at_ms: int = NOON_MS, **more: object) -> Payment:
    fields: dict[str, object] = {
        "transaction_id": "t-1",
        "amount_minor": 125_000,
        "currency": "INR",
        "rail": "upi",
        "channel": "qr_static",
        "payer_id": "u-1",
        "instrument_id": "vpa-1",
        "payee_id": "m-1",
        **more,
    }
    return Payment(event_time_ms=at_ms, **fields)  # type: ignore[arg-type]


def test_feast_apply_works_in_the_repository_of_a_clean_clone(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY, tmp_path / "store", ignore=shutil.ignore_patterns("data", "__pycache__"))
    feast = Path(sys.executable).with_name("feast")
    done = subprocess.run([feast, "apply"], cwd=tmp_path / "store", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "store" / "data" / "registry.db").exists()


def test_every_feature_stands_in_one_view_with_its_sentence() -> None:
    from features.feast_store.repo.definitions import declare

    declared = declare(KNOWN)
    windows = [field for view in declared.velocity for field in view.features]
    names = [field.name for field in windows] + [field.name for field in declared.on_demand.features]
    assert sorted(names) == sorted(KNOWN.names)
    described = {field.name: (field.description, field.tags) for field in windows}
    for feature in KNOWN.features:
        if feature.group == "window":
            sentence, tags = described[feature.name]
            assert sentence == feature.sentence
            assert tags == {"unit": feature.unit, "story": feature.typology, "reason": feature.reason}
        else:
            assert declared.on_demand.tags[feature.name] == feature.sentence


def test_another_catalogue_has_another_service() -> None:
    from features.feast_store.client import service_name

    other = catalogue(CatalogueParameters(label_delay_days=14))
    assert service_name(KNOWN) == f"risk_v1_{KNOWN.contract().hash[:8]}"
    assert service_name(other) != service_name(KNOWN)


def test_the_registry_keeps_no_machine_path(tmp_path: Path) -> None:
    from features.feast_store import client

    store = client.open_store(tmp_path / "feast", KNOWN)
    client.apply(store, KNOWN)
    assert str(tmp_path).encode() not in (tmp_path / "feast" / "registry.db").read_bytes()
    client.close(store)


def test_velocity_comes_from_the_newest_snapshot_when_no_state_is_attached(tmp_path: Path) -> None:
    from features.feast_store import client

    store = client.open_store(tmp_path, KNOWN)
    client.apply(store, KNOWN)
    with pytest.raises(InvalidHistory, match="no snapshot"):
        client.online_vectors(store, KNOWN, [a_payment()])
    state = State(KNOWN)
    state.apply(a_payment())
    (tmp_path / "snapshots").mkdir()
    state.save(tmp_path / "snapshots" / "a.state")
    seen = client.online_vectors(store, KNOWN, [a_payment()])[0]
    assert seen[KNOWN.index["payee_since_first"]] > 0
    other = catalogue(CatalogueParameters(label_delay_days=14))
    State(other).save(tmp_path / "snapshots" / "b.state")
    with pytest.raises(ContractMismatch):
        client.online_vectors(store, KNOWN, [a_payment()])
    client.close(store)


def test_a_damaged_snapshot_is_named_once_and_the_next_older_one_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from features.feast_store import client

    store = client.open_store(tmp_path, KNOWN)
    client.apply(store, KNOWN)
    folder = tmp_path / "snapshots"
    folder.mkdir()
    state = State(KNOWN)
    state.apply(a_payment())
    state.save(folder / "a.state")
    expected = client.online_vectors(store, KNOWN, [a_payment()])[0]
    for name, later in (("b.state", 5), ("c.state", 10)):
        state.apply(a_payment())
        state.save(folder / name)
        damaged = bytearray((folder / name).read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (folder / name).write_bytes(damaged)
        os.utime(folder / name, (2**31 + later, 2**31 + later))
    for _ in range(2):
        found = client.online_vectors(store, KNOWN, [a_payment()])[0]
        places = [KNOWN.index["payer_count_30d"], KNOWN.index["payee_count_30d"]]
        np.testing.assert_array_equal(found[places], expected[places])
    warnings = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    assert [one.split()[1] for one in warnings] == ["c.state", "b.state"]
    (folder / "a.state").unlink()
    with pytest.raises(InvalidHistory, match="no snapshot"):
        client.online_vectors(store, KNOWN, [a_payment()])
    client.close(store)


def test_a_batch_of_payments_gets_the_vectors_each_would_get_alone(tmp_path: Path) -> None:
    from features.feast_store import client

    store, state = client.open_store(tmp_path, KNOWN), State(KNOWN)
    client.apply(store, KNOWN)
    state.apply(a_payment(NOON_MS - 1000, device_id="d-1"))
    client.attach(store, state, lambda: NOON_MS)
    batch = [a_payment(), a_payment(payer_id="u-2", device_id="d-1", ip="203.0.113.9"), a_payment()]
    together = client.online_vectors(store, KNOWN, batch)
    alone = np.array([state.observe(payment) for payment in batch])
    assert np.array_equal(together, alone, equal_nan=True)
    client.close(store)


def test_materialized_profiles_are_seen_from_the_moment_they_were_created(tmp_path: Path) -> None:
    from features.feast_store import client

    store, now = client.open_store(tmp_path, KNOWN), [NOON_MS]
    client.apply(store, KNOWN)
    profiles = Profiles()
    profiles.put(
        "payer",
        "u-1",
        PayerProfile(
            event_time_ms=NOON_MS - 5, created_time_ms=NOON_MS + 5, verification_level=None, home_country="IN"
        ),
    )
    client.write_profiles(store, profiles)
    views = [f"{entity}_profile" for entity in ("payer", "instrument", "payee")]
    store.materialize(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC), feature_views=views)
    client.attach(store, State(KNOWN), lambda: now[0])
    refs = ["payer_profile:payer_profile_home_country", "payer_profile:payer_profile_verification_level"]
    for moment, country in ((NOON_MS, None), (NOON_MS + 5, "IN")):
        now[0] = moment
        answer = store.get_online_features(features=refs, entity_rows=[{"payer_id": "u-1"}]).to_dict()
        assert answer["payer_profile_home_country"] == [country]
        assert answer["payer_profile_verification_level"] == [None]
    client.close(store)


def test_velocity_cannot_be_written_past_the_ledger(tmp_path: Path) -> None:
    from features.feast_store import client

    store = client.open_store(tmp_path, KNOWN)
    client.apply(store, KNOWN)
    row = pd.DataFrame(
        {"payer_id": ["u-1"], "ip": ["203.0.113.9"], "event_time": [pd.Timestamp(NOON_MS, unit="ms", tz="UTC")]}
    )
    row["payer_ip_is_new"] = 1.0
    with pytest.raises(InvalidHistory, match="folded from the ledger"):
        store.write_to_online_store("payer_ip_velocity", row)
    client.close(store)


def test_a_history_that_was_not_replayed_is_refused_with_a_repair(tmp_path: Path) -> None:
    from features.feast_store import client

    store = client.open_store(tmp_path, KNOWN)
    client.apply(store, KNOWN)
    asked = pd.DataFrame({"payer_id": ["u-1"], "event_timestamp": [pd.Timestamp(NOON_MS, unit="ms", tz="UTC")]})
    with pytest.raises(InvalidHistory, match="python -m features replay"):
        store.get_historical_features(asked, features=["payer_velocity:payer_count_1h"]).to_df()
    client.close(store)


def test_offline_profiles_append_and_the_new_version_is_seen(tmp_path: Path) -> None:
    from features.feast_store import client
    from features.feast_store.views import profile_table

    store = client.open_store(tmp_path, KNOWN)
    client.apply(store, KNOWN)
    for level, at_ms in ((1, NOON_MS), (3, NOON_MS + 10)):
        profiles = Profiles()
        profiles.put("payer", "u-1", PayerProfile(event_time_ms=at_ms, created_time_ms=at_ms, verification_level=level))
        store.write_to_offline_store("payer_profile", profile_table(profiles, "payer").to_pandas())
    assert pq.read_table(tmp_path / "payer_profile.parquet").num_rows == 2
    moments = pd.to_datetime([NOON_MS, NOON_MS + 9, NOON_MS + 10], unit="ms", utc=True)
    asked = pd.DataFrame({"payer_id": "u-1", "event_timestamp": moments})
    level = "payer_profile:payer_profile_verification_level"
    assert store.get_historical_features(asked, features=[level]).to_df()[level.split(":")[1]].tolist() == [1, 1, 3]
    full = store.get_historical_features(asked, features=[level], full_feature_names=True).to_df()
    assert full["payer_profile__payer_profile_verification_level"].tolist() == [1, 1, 3]
    client.close(store)
