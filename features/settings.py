"""What the environment says to the libraries we build on: where Feast and BentoML keep things, no usage reports."""

from __future__ import annotations

import os
from pathlib import Path

_SILENT = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "FEAST_USAGE": "False",
}


def silence_telemetry() -> None:
    """Switch usage reports off for this process and its children, unless the environment says otherwise."""
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)


def feast_registry() -> str:
    """The database of Feast's registry (`RISKGATE_FEAST_REGISTRY`); empty: a file in the store's folder."""
    return os.environ.get("RISKGATE_FEAST_REGISTRY", "")


def bentoml_home(var: Path) -> Path:
    """The folder of BentoML's models and bentos: `BENTOML_HOME` where it is set, else `bentoml` below `var`."""
    chosen = os.environ.get("BENTOML_HOME")
    return Path(os.path.expandvars(chosen)).expanduser() if chosen else var / "bentoml"


def use_bentoml_home(var: Path) -> None:
    """Keep BentoML, in this process and its children, out of its default folder in the user's home.

    BentoML reads the variable when it needs its folder for the first time: call this before.
    """
    os.environ["BENTOML_HOME"] = str(bentoml_home(var).resolve())


def with_driver(url: str) -> str:
    """A PostgreSQL URL with the driver that is pinned here; any other URL as it is.

    >>> with_driver("postgresql://risk@db/registry")
    'postgresql+psycopg://risk@db/registry'
    >>> with_driver("sqlite:///registry.db")
    'sqlite:///registry.db'
    """
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else url
