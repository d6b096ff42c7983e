"""Logs training runs to MLflow and registers their models as versions of `risk` with the alias challenger."""

from __future__ import annotations

import logging
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lightgbm as lgb
import mlflow
import msgspec
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from features.bundle.bundle import Bundle, read_bundle, write_bundle
from features.errors import RiskgateError
from training.runs.pipeline import MODEL_NAME, Trained
from training.runs.plots import draw_all
from training.settings import Settings

EXPERIMENT = "riskgate"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
BUNDLE_FOLDER, REPORT_FILE, PLOTS_FOLDER = "bundle", "report.json", "plots"


class TrackingUnavailable(RiskgateError):
    """The server that keeps runs and versions does not answer."""


class Version(msgspec.Struct, frozen=True):
    """A registered version, the run it came from and the figures of that run."""

    version: str
    run_id: str
    figures: dict[str, float]
    tags: dict[str, str]


def connect(settings: Settings) -> MlflowClient:
    """A client of the tracking database and registry; tables and folders are created if absent.

    Raises:
        TrackingUnavailable: the configured server does not answer.
    """
    _check_reachable(settings.tracking_uri)
    (settings.var / "mlflow").mkdir(parents=True, exist_ok=True)
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    client = MlflowClient()
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT, artifact_location=settings.artifact_root)
    return client


def _check_reachable(uri: str) -> None:
    # MLflow would retry for more than a minute and then print a traceback.
    place = urlsplit(uri)
    if place.scheme.startswith("sqlite") or place.hostname is None:
        return
    try:
        port = place.port or {"http": 80, "https": 443}.get(place.scheme, 5432)
        socket.create_connection((place.hostname, port), timeout=5).close()
    except (OSError, ValueError):
        raise TrackingUnavailable(
            f"MLflow's {place.scheme.partition('+')[0]} server at {place.hostname} does not answer.",
            "Start it, or correct RISKGATE_MLFLOW.",
        ) from None


def track(trained: Trained, feature_service: str, settings: Settings, extra: dict[str, float] | None = None) -> Version:
    """Log a run, register its model, and give the version the alias `challenger`.

    Args:
        trained: the result of the run.
        feature_service: name of the Feast service with the model's features.
        settings: where MLflow stores runs and models.
        extra: further figures, for example of the incumbent on the same test.
    """
    with _session(settings) as client:
        mlflow.set_experiment(EXPERIMENT)
        with mlflow.start_run(run_name=f"{trained.dataset} {trained.recipe_name}".strip()) as run:
            _log_run(trained, feature_service, extra or {})
            version = _log_model(client, trained, run.info.run_id)
            bundle = trained.bundle(version, run.info.run_id, feature_service)
            with tempfile.TemporaryDirectory() as folder:
                write_bundle(bundle, Path(folder) / BUNDLE_FOLDER)
                mlflow.log_artifacts(folder)
        for key, value in _tags(trained, feature_service, bundle).items():
            client.set_model_version_tag(MODEL_NAME, version, key, value)
        client.set_registered_model_alias(MODEL_NAME, CHALLENGER, version)
        return _version(client, client.get_model_version(MODEL_NAME, version))


def version_of(which: str, settings: Settings) -> Version | None:
    """The version with this number or alias, None if there is none."""
    with _session(settings) as client:
        try:
            if which.isdigit():
                found = client.get_model_version(MODEL_NAME, which)
            else:
                found = client.get_model_version_by_alias(MODEL_NAME, which)
        except MlflowException:
            return None
        return _version(client, found)


def bundle_of(version: Version, settings: Settings, folder: Path) -> tuple[Bundle, Path]:
    """The bundle of a version, read and checked, and the folder it was downloaded to.

    Raises:
        BrokenBundle: the stored bundle is incomplete or was altered.
    """
    with _session(settings):
        kept = mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path=BUNDLE_FOLDER, dst_path=str(folder)
        )
    return read_bundle(Path(kept)), Path(kept)


def read_bundle_of(version: Version, settings: Settings) -> Bundle:
    """The bundle of a version, of which no file is kept; raises as `bundle_of`."""
    with tempfile.TemporaryDirectory() as folder:
        return bundle_of(version, settings, Path(folder))[0]


def files_of(version: Version, settings: Settings, folder: Path) -> Path:
    """Download the report and the plots of a version's run into `folder`; returns the folder."""
    with _session(settings):
        for kept in (REPORT_FILE, PLOTS_FOLDER):
            mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=kept, dst_path=str(folder))
    return folder


def set_alias(alias: str, version: str, settings: Settings) -> None:
    """Move an alias to a version."""
    with _session(settings) as client:
        client.set_registered_model_alias(MODEL_NAME, alias, version)


def drop_alias(alias: str, settings: Settings) -> None:
    """Delete an alias; does nothing if no version has it."""
    with _session(settings) as client:
        client.delete_registered_model_alias(MODEL_NAME, alias)


def tag_version(version: str, key: str, value: str, settings: Settings) -> None:
    """Set a tag of a version."""
    with _session(settings) as client:
        client.set_model_version_tag(MODEL_NAME, version, key, value)


def _log_run(trained: Trained, feature_service: str, extra: dict[str, float]) -> None:
    recipe = msgspec.to_builtins(trained.recipe)
    flat = {f"{part}.{key}": value for part in ("split", "model", "costs") for key, value in recipe.pop(part).items()}
    mlflow.log_params(flat | recipe | {"dataset": trained.dataset, "recipe": trained.recipe_name})
    mlflow.log_params({"trees_used": trained.model.trees, "learned_from_payments": trained.learned_from})
    mlflow.set_tags(
        {
            "data_sha256": trained.data_digest,
            "feature_service": feature_service,
            "catalogue_hash": trained.catalogue.contract().hash,
            "policy_sha256": trained.policy.digest,
        }
    )
    mlflow.log_metrics(trained.report.figures() | extra)
    mlflow.log_text(msgspec.json.format(msgspec.json.encode(trained.report), indent=2).decode(), REPORT_FILE)
    mlflow.log_dict(trained.model.gains(), "gains.json")
    with tempfile.TemporaryDirectory() as folder:
        draw_all(trained, Path(folder))
        mlflow.log_artifacts(folder, PLOTS_FOLDER)


def _log_model(client: MlflowClient, trained: Trained, run_id: str) -> str:
    # registered through the client: MLflow's shortcut writes to standard error
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, name) for name in trained.catalogue.names]),
        outputs=Schema([ColSpec(DataType.double, "fraud_margin_or_probability")]),
    )
    logged = mlflow.lightgbm.log_model(
        lgb.Booster(model_str=trained.model.text),
        name="model",
        signature=signature,
        pip_requirements=[f"lightgbm=={lgb.__version__}"],  # explicit, because inferring them takes seconds
    )
    if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME, description="Probability that a payment is a fraud.")
    made = client.create_model_version(MODEL_NAME, source=logged.model_uri, run_id=run_id, model_id=logged.model_id)
    return str(made.version)


def _tags(trained: Trained, feature_service: str, bundle: Bundle) -> dict[str, str]:
    return {
        "dataset": trained.dataset,
        "recipe": trained.recipe_name,
        "data_sha256": trained.data_digest,
        "feature_service": feature_service,
        "catalogue_hash": bundle.contract.hash,
        "bundle_sha256": bundle.digest,
    }


def _version(client: MlflowClient, found: Any) -> Version:
    run = client.get_run(found.run_id)
    return Version(str(found.version), found.run_id, dict(run.data.metrics), dict(found.tags))


@contextmanager
def _session(settings: Settings) -> Iterator[MlflowClient]:
    """A client, without MLflow's warnings: they concern deliberate choices and would hide our own messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield connect(settings)
