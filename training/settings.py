"""The settings of training: one table, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from features.errors import RiskgateError
from features.intake.token_key import known_tokens
from features.intake.tokens import FIRST_VERSION, Tokens
from features.settings import PREFIX, bentoml_home, read_variable, use_bentoml_home, with_driver


class Setting(NamedTuple):
    """One row of the table: the environment variable is `RISKGATE_` and `name`."""

    name: str
    default: str
    meaning: str


TABLE = (
    Setting("VAR", "var", "folder of everything generated: histories, runs, plots, models"),
    Setting("DATA", "../shared/data", "folder that holds public data sets, for tests"),
    Setting("MLFLOW", "", "tracking server, or a database such as postgresql://…; empty: SQLite below VAR"),
    Setting("MLFLOW_ARTIFACTS", "", "where models and plots of runs are kept; empty: a folder below VAR"),
    Setting("REDIS_URL", "", "with POSTGRES_URL: the rehearsal of the festival runs the production profile there"),
    Setting("POSTGRES_URL", "", "see REDIS_URL; the rehearsal makes a database of its own there and removes it"),
    Setting("HASH_KEY", "", "the hash key of the service: card numbers of a history become the same tokens as there"),
    Setting("TOKEN_KEY_VERSION", "1", "the version of the key of card-number tokens, as in the service"),
    Setting("FEAST_REGISTRY", "", "database of Feast's registry, such as postgresql://…; empty: a file below VAR"),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process; see `TABLE` for meanings."""

    var: Path = Path("var")
    data: Path = Path("../shared/data")
    mlflow: str = ""
    mlflow_artifacts: str = ""
    feast_registry: str = ""
    redis_url: str = ""
    postgres_url: str = ""
    hash_key: str = ""
    token_key_version: int = FIRST_VERSION

    def tokens(self) -> Tokens | None:
        """What replaces card numbers: the key in RISKGATE_HASH_KEY, or the service's file in `var`; None without.

        Raises: RiskgateError for a key file that cannot be used.
        """
        return known_tokens(self.hash_key, self.var, self.token_key_version)

    def __repr__(self) -> str:
        """The settings but the key, and the URLs, which may hold a password."""
        return f"Settings(var={str(self.var)!r}, data={str(self.data)!r})"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow stores runs and versions: always a database, never its file store."""
        return with_driver(self.mlflow) or f"sqlite:///{(self.var / 'mlflow' / 'mlflow.db').resolve()}"

    @property
    def model_store(self) -> Path:
        """The project's BentoML folder: bundles are exported to it and served from it."""
        return bentoml_home(self.var)

    @property
    def artifact_root(self) -> str:
        """Where MLflow stores artifacts."""
        return self.mlflow_artifacts or (self.var / "mlflow" / "artifacts").resolve().as_uri()


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process's environment; unset or empty means the default."""
    values = {row.name: read_variable(row.name, environment) or row.default for row in TABLE}
    return Settings(
        var=Path(values["VAR"]),
        data=Path(values["DATA"]),
        mlflow=values["MLFLOW"],
        mlflow_artifacts=values["MLFLOW_ARTIFACTS"],
        feast_registry=values["FEAST_REGISTRY"],
        redis_url=values["REDIS_URL"],
        postgres_url=values["POSTGRES_URL"],
        hash_key=values["HASH_KEY"],
        token_key_version=_version(values["TOKEN_KEY_VERSION"]),
    )


def _version(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 4:
        return int(text)
    raise RiskgateError(
        f"RISKGATE_TOKEN_KEY_VERSION is {text[:20]!r}, not a whole number.", "Set it to the version of the service."
    )


def use_own_model_store() -> None:
    """Make this process and the services it starts use the project's model store."""
    use_bentoml_home(read_settings().var)


def environment_with_model_store(settings: Settings) -> dict[str, str]:
    """This process's environment for a BentoML command that uses the project's model store."""
    return dict(os.environ) | {"BENTOML_HOME": str(settings.model_store.resolve())}


def environment_of_child(**overrides: str) -> dict[str, str]:
    """This process's environment for a process of our own, with some settings (without prefix) replaced."""
    return dict(os.environ) | {PREFIX + name: value for name, value in overrides.items()}
