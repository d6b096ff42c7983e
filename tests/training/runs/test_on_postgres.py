"""MLflow's tracking and registry, and Feast's registry, on a real PostgreSQL: the same steps, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import psycopg
import pytest

from features.catalogue.catalogue import catalogue
from features.errors import RegistryUnavailable, RiskgateError
from tests.serving.servers import own_database, servers_here
from tests.training.histories import small_history
from tests.training.runs.test_pipeline import DELAY, RECIPE
from training.client.service_process import free_port
from training.data.frame import frame
from training.runs.mlflow_log import bundle_of, track, version_of
from training.runs.pipeline import score_with, train
from training.runs.registry_gate import promote
from training.settings import Settings, read_settings

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and Feast warn on import and on use


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers_here(tmp_path_factory.mktemp("redis")) as (_, postgres), own_database(postgres) as url:
        yield url


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as one:
        return {name for (name,) in one.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_a_model_is_tracked_registered_and_promoted_on_postgres(database: str, tmp_path: Path) -> None:
    environment = {"RISKGATE_VAR": str(tmp_path / "var"), "RISKGATE_MLFLOW": database}
    settings = read_settings({**environment, "RISKGATE_MLFLOW_ARTIFACTS": (tmp_path / "artifacts").as_uri()})
    known = catalogue()
    trained = train(frame(small_history(), known), known, RECIPE, DELAY, dataset="small", data_digest="ab")
    made = track(trained, "risk_v1_test", settings)
    assert version_of("challenger", settings) == made
    bundle, _ = bundle_of(made, settings, tmp_path / "kept")
    assert score_with(bundle, trained.test).tobytes() == trained.test_scores.tobytes()
    done = promote(settings)
    assert (done.version, done.previous) == ("1", None)
    champion = version_of("champion", settings)
    assert champion is not None and champion.run_id == made.run_id
    assert {"experiments", "runs", "registered_models", "model_versions"} <= tables(database)
    assert not (tmp_path / "var" / "mlflow" / "mlflow.db").exists()
    assert any((tmp_path / "artifacts").rglob("report.json"))
    mlflow.set_tracking_uri(None)


def test_feast_keeps_its_registry_on_postgres_and_answers_the_same(database: str, tmp_path: Path) -> None:
    from features.feast_store import client

    known, history = catalogue(), small_history().slice(0, 200)
    on_postgres = frame(history, known, store=tmp_path / "postgres", registry=database)
    assert on_postgres.values.tobytes() == frame(history, known).values.tobytes()
    assert not (tmp_path / "postgres" / "registry.db").exists()
    assert {"feature_views", "feature_services"} <= tables(database)

    # Another process, another folder: what was applied is there.
    other = client.open_store(tmp_path / "other", known, registry=database)
    assert [one.name for one in other.list_feature_services()] == [client.service_name(known)]
    client.close(other)


def test_a_missing_database_is_told_without_the_password(tmp_path: Path) -> None:
    from features.feast_store import client
    from training.runs.mlflow_log import connect

    url = f"postgresql://risk:hush@127.0.0.1:{free_port()}/registry"
    with pytest.raises(RegistryUnavailable) as refused:
        client.open_store(tmp_path, catalogue(), registry=url)
    assert "RISKGATE_FEAST_REGISTRY" in refused.value.repair
    with pytest.raises(RiskgateError) as refused_too:
        connect(Settings(var=tmp_path, mlflow=url))
    assert "RISKGATE_MLFLOW" in refused_too.value.repair
    assert "hush" not in str(refused.value) + str(refused_too.value)
