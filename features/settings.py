"""Reads settings from the environment, and sets the environment of the libraries we build on.

Training and serving share variables; both read them here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_SILENT = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "FEAST_USAGE": "False",
}


def silence_telemetry() -> None:
    """Switch usage reports off for this process and its children, unless the environment sets them."""
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)


PREFIX = "RISKGATE_"
#: The value of a service link: Kubernetes sets RISKGATE_PORT in every container if a Service is named `riskgate`.
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+", re.ASCII)
_LINE_END = re.compile(r"[ \t]*[\r\n]\s*$")


def read_variable(name: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The value of one of our variables (`name` without prefix), None if it is not set.

    Surrounding blanks and the line end of a mounted file are not part of a value. The hash key loses only its line
    end: existing pseudonyms depend on every other character.

    >>> read_variable("PORT", {"RISKGATE_PORT": " 3000\\n"})
    '3000'
    >>> read_variable("HASH_KEY", {"RISKGATE_HASH_KEY": " key \\r\\n"})
    ' key'
    """
    text = (os.environ if environment is None else environment).get(PREFIX + name)
    if text is None:
        return None
    return _LINE_END.sub("", text) if name == "HASH_KEY" else text.strip()


def is_kubernetes_link(text: str) -> bool:
    """Whether a value is a Kubernetes service link: set for a Service named like our prefix, not by an operator.

    >>> is_kubernetes_link("tcp://10.0.0.1:3000"), is_kubernetes_link("3000")
    (True, False)
    """
    return _SERVICE_LINK.fullmatch(text) is not None


def feast_registry() -> str:
    """The database of Feast's registry (`RISKGATE_FEAST_REGISTRY`); empty means a file in the store's folder."""
    return read_variable("FEAST_REGISTRY") or ""


def var_folder() -> Path:
    """The folder of everything generated (`RISKGATE_VAR`)."""
    return Path(read_variable("VAR") or "var")


def bentoml_home(var: Path) -> Path:
    """The folder of BentoML's models and bentos: `BENTOML_HOME` where it is set, else `bentoml` below `var`."""
    chosen = os.environ.get("BENTOML_HOME")
    return Path(os.path.expandvars(chosen)).expanduser() if chosen else var / "bentoml"


def use_bentoml_home(var: Path) -> None:
    """Keep this process's BentoML, and its children's, out of the default folder in the user's home.

    BentoML reads the variable when it first needs its folder, so call this earlier.
    """
    os.environ["BENTOML_HOME"] = str(bentoml_home(var).resolve())


def with_driver(url: str) -> str:
    """A PostgreSQL URL with the driver that we pin; any other URL unchanged.

    >>> with_driver("postgresql://risk@db/registry")
    'postgresql+psycopg://risk@db/registry'
    >>> with_driver("sqlite:///registry.db")
    'sqlite:///registry.db'
    """
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else url
